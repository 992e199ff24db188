// NVRTC's functions: "compiling" a program runs the C++ compiler and gives a shared library, which module.cpp loads.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <dlfcn.h>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#ifndef KAMACITE_EMULATOR_INCLUDE
#error "build.rs defines the folder of emulator.h"
#endif

namespace {

enum : int { NVRTC_SUCCESS = 0, NVRTC_PROGRAM_CREATION_FAILURE = 2, NVRTC_INVALID_INPUT = 3, NVRTC_INVALID_PROGRAM = 4, NVRTC_COMPILATION = 6 };

struct Program {
    std::string source, name, log, image;
    std::vector<std::pair<std::string, std::string>> headers;
    bool compiled = false;
};

std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}
bool write(const std::string& path, const std::string& text) {
    std::ofstream out(path, std::ios::binary);
    out << text;
    return out.good();
}
std::string quoted(const std::string& s) {
    std::string r = "'";
    for (char c : s) r += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return r + "'";
}
std::string own_path() {
    Dl_info info;
    return dladdr((void*)own_path, &info) ? info.dli_fname : "";
}

// The instructions of this processor that matter for speed. An explicit fmaf becomes one instruction, nothing else does.
std::string machine_options() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "-march=x86-64-v3";
#endif
    return "";
}

// KAMACITE_EMULATED_BOUNDS=1: an index outside of an array of known size (shared or local) is a fault. Inner loops take three
// times as long.
bool bounds() {
    const char* v = getenv("KAMACITE_EMULATED_BOUNDS");
    return v && *v && strcmp(v, "0");
}

struct Folder {
    std::string path;
    std::vector<std::string> files;
    Folder() {
        const char* t = getenv("TMPDIR");
        std::string name = std::string(t && *t ? t : "/tmp") + "/kamacite-emulator-XXXXXX";
        if (mkdtemp(name.data())) path = name;
    }
    std::string file(const std::string& name) {
        files.push_back(path + "/" + name);
        return files.back();
    }
    ~Folder() {
        for (auto& f : files) unlink(f.c_str());
        if (!path.empty()) rmdir(path.c_str());
    }
};

bool plain(const std::string& name) { return !name.empty() && name.find('/') == std::string::npos && name[0] != '.'; }

bool compile(Program& p, const std::string& defines) {
    Folder folder;
    if (folder.path.empty()) {
        p.log = "no temporary folder";
        return false;
    }
    std::string source = folder.file(plain(p.name) ? p.name + ".cpp" : "kernels.cpp");
    bool fine = write(source, "#line 1 \"" + p.name + "\"\n" + p.source);
    for (auto& [name, text] : p.headers) fine = fine && plain(name) && write(folder.file(name), text);
    std::string out = folder.file("kernels.so"), log = folder.file("log");
    const char* chosen = getenv("CXX");
    std::string command = std::string(chosen && *chosen ? chosen : "c++") +
        " -std=c++17 -O2 -shared -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -ffp-contract=off -fno-math-errno -fno-trapping-math"
        " -fno-semantic-interposition -w -DKAMACITE_EMULATED -Wl,-z,defs " + (bounds() ? "-fsanitize=bounds " : "") + "-fsanitize=alignment -fsanitize-undefined-trap-on-error " + defines + machine_options() + " -I" + quoted(folder.path) +
        " -I" + quoted(KAMACITE_EMULATOR_INCLUDE) + " -o " + quoted(out) + " " + quoted(source) + " " + quoted(own_path()) + " -lm >" + quoted(log) + " 2>&1";
    fine = fine && system(command.c_str()) == 0;
    p.log = read(log);
    if (!fine) return false;
    std::string library = read(out);
    uint64_t bytes = library.size();
    p.image = "KAMACITE" + std::string((const char*)&bytes, 8) + library;
    return true;
}

} // namespace

extern "C" {

// With bounds another version: kernels are cached by it.
int nvrtcVersion(int* major, int* minor) {
    *major = 13, *minor = bounds() ? 1 : 0;
    return NVRTC_SUCCESS;
}
const char* nvrtcGetErrorString(int r) {
    switch (r) {
    case NVRTC_SUCCESS: return "NVRTC_SUCCESS";
    case NVRTC_PROGRAM_CREATION_FAILURE: return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
    case NVRTC_INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
    case NVRTC_INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
    case NVRTC_COMPILATION: return "NVRTC_ERROR_COMPILATION";
    default: return "NVRTC_ERROR unknown";
    }
}
static const int ARCHITECTURES[] = {75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121};
int nvrtcGetNumSupportedArchs(int* n) {
    *n = sizeof ARCHITECTURES / sizeof *ARCHITECTURES;
    return NVRTC_SUCCESS;
}
int nvrtcGetSupportedArchs(int* out) {
    memcpy(out, ARCHITECTURES, sizeof ARCHITECTURES);
    return NVRTC_SUCCESS;
}
int nvrtcCreateProgram(Program** out, const char* source, const char* name, int count, const char* const* headers, const char* const* names) {
    if (!out || !source || count < 0) return NVRTC_INVALID_INPUT;
    Program* p = new Program;
    p->source = source;
    p->name = name ? name : "default_program";
    for (int i = 0; i < count; i++) p->headers.emplace_back(names[i], headers[i]);
    *out = p;
    return NVRTC_SUCCESS;
}
int nvrtcDestroyProgram(Program** p) {
    if (!p || !*p) return NVRTC_INVALID_PROGRAM;
    delete *p;
    *p = nullptr;
    return NVRTC_SUCCESS;
}
// Of the options only definitions mean something here.
int nvrtcCompileProgram(Program* p, int count, const char* const* options) {
    if (!p) return NVRTC_INVALID_PROGRAM;
    std::string defines;
    for (int i = 0; i < count; i++)
        if (!strncmp(options[i], "-D", 2)) defines += quoted(options[i]) + " ";
    p->compiled = compile(*p, defines);
    return p->compiled ? NVRTC_SUCCESS : NVRTC_COMPILATION;
}
static int give(const std::string& from, char* to) {
    memcpy(to, from.data(), from.size());
    return NVRTC_SUCCESS;
}
int nvrtcGetCUBINSize(Program* p, size_t* n) {
    if (!p || !p->compiled) return NVRTC_INVALID_PROGRAM;
    *n = p->image.size();
    return NVRTC_SUCCESS;
}
int nvrtcGetCUBIN(Program* p, char* out) { return p && p->compiled ? give(p->image, out) : NVRTC_INVALID_PROGRAM; }
int nvrtcGetPTXSize(Program* p, size_t* n) { return nvrtcGetCUBINSize(p, n); }
int nvrtcGetPTX(Program* p, char* out) { return nvrtcGetCUBIN(p, out); }
int nvrtcGetProgramLogSize(Program* p, size_t* n) {
    if (!p) return NVRTC_INVALID_PROGRAM;
    *n = p->log.size() + 1;
    return NVRTC_SUCCESS;
}
int nvrtcGetProgramLog(Program* p, char* out) {
    if (!p) return NVRTC_INVALID_PROGRAM;
    memcpy(out, p->log.c_str(), p->log.size() + 1);
    return NVRTC_SUCCESS;
}
int nvrtcAddNameExpression(Program*, const char*) { return NVRTC_SUCCESS; }
}
