// Modules: the "cubin" is a shared library made by nvrtc.cpp. Each processor loads a copy of its own, so that the static
// shared memory of two blocks that run at once never meets.
#include "device.h"
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

namespace emulator {

static thread_local std::map<std::string, Kernel>* announced = nullptr;
static std::mutex load_mutex;

// Called by the static constructors of a kernel library, inside dlopen.
void announce(const Announcement& k) {
    if (!announced) return;
    Kernel& kernel = (*announced)[k.name];
    kernel = {k.name, k.threads, k.argument_bytes, k.run, k.here, k.shared_begin, k.shared_end};
}

bool Module::load(Loaded& copy, std::string& error) {
    std::lock_guard<std::mutex> lock(load_mutex);
    copy.file = memfd_create("kamacite-kernels", MFD_CLOEXEC);
    if (copy.file < 0 || write(copy.file, image.data(), image.size()) != (ssize_t)image.size()) {
        error = "no memory file for the kernels";
        return false;
    }
    // The file stays open as long as the library: its number is its name for the dynamic loader.
    std::string path = "/proc/self/fd/" + std::to_string(copy.file);
    announced = &copy.kernels;
    copy.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    announced = nullptr;
    if (copy.handle) {
        if (!copy.kernels.empty()) copy.kernels.begin()->second.poison_all();
        return true;
    }
    const char* why = dlerror();
    error = why ? why : "unknown";
    return false;
}

Module::~Module() {
    std::lock_guard<std::mutex> lock(load_mutex);
    for (auto& [id, copy] : copies) {
        if (copy.handle) dlclose(copy.handle);
        if (copy.file >= 0) close(copy.file);
    }
}

Kernel* Module::kernel_for(unsigned processor, const std::string& name) {
    std::lock_guard<std::mutex> lock(mutex);
    auto it = copies.find(processor);
    if (it == copies.end()) {
        it = copies.emplace(processor, Loaded()).first;
        std::string error;
        if (!load(it->second, error)) {
            set_fault(INVALID_IMAGE, "a second copy of the kernels did not load: " + error);
            copies.erase(it);
            return nullptr;
        }
    }
    auto k = it->second.kernels.find(name);
    return k == it->second.kernels.end() ? nullptr : &k->second;
}

} // namespace emulator
