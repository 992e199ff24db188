// Long launches are shared with host threads that have nothing to do. Blocks are independent, so results are the same.
#include "device.h"
#include <condition_variable>
#include <thread>

namespace emulator {

// One launch, as those who work on it see it.
struct Job {
    Function& function;
    Launch launch;
    Blocks blocks;
    std::mutex mutex;
    std::condition_variable left;
    unsigned helpers = 0;
    Result error = SUCCESS;
    std::string sentence;

    // Takes part until there are no blocks left.
    void work(Processor* p, bool helps) {
        Launch mine = launch;
        mine.kernel = function.module->kernel_for(p->id, function.kernel.name);
        mine.blocks = &blocks;
        mine.helps = helps;
        if (!mine.kernel) return fail(INVALID_IMAGE, "kernel " + function.kernel.name + ": its library does not load a second time");
        if (!p->run(mine)) fail(p->illegal_address ? ILLEGAL_ADDRESS : LAUNCH_FAILED, p->message);
    }
    void fail(Result r, const std::string& why) {
        std::lock_guard<std::mutex> lock(mutex);
        blocks.stop = true;
        if (!error) error = r, sentence = why;
    }
};

// Never destroyed: idle threads wait in it when the process ends.
struct Crew {
    std::mutex mutex;
    std::condition_variable work_there;
    Job* wanted = nullptr;
    unsigned threads = 0;
};
static Crew& crew() {
    static Crew* c = new Crew;
    return *c;
}

static void helper() {
    Crew& c = crew();
    for (;;) {
        Job* job;
        {
            std::unique_lock<std::mutex> lock(c.mutex);
            c.work_there.wait(lock, [&] { return c.wanted; });
            job = c.wanted;
            c.wanted = nullptr;
            job->helpers++;
        }
        if (Processor* p = acquire_processor(false)) {
            job->work(p, true);
            release_processor(p);
        }
        std::lock_guard<std::mutex> lock(c.mutex);
        job->helpers--;
        job->left.notify_one();
    }
}

static void ask_for_help(Job& job) {
    Crew& c = crew();
    std::lock_guard<std::mutex> lock(c.mutex);
    if (c.threads + 1 < processor_count()) {
        c.threads++;
        std::thread(helper).detach();
    }
    if (!c.wanted) c.wanted = &job, c.work_there.notify_one();
}

Result run_everywhere(Function& f, Launch launch) {
    Job job{f, launch, {}, {}, {}, 0, SUCCESS, {}};
    job.blocks.total = (uint64_t)launch.grid.x / launch.cluster * launch.grid.y * launch.grid.z;
    if (job.blocks.total > 2 && processor_count() > 1) job.blocks.ask_for_help = [&job] { ask_for_help(job); };
    Processor* p = acquire_processor(true);
    job.work(p, false);
    release_processor(p);
    {
        Crew& c = crew();
        std::unique_lock<std::mutex> lock(c.mutex);
        if (c.wanted == &job) c.wanted = nullptr;
        job.left.wait(lock, [&] { return !job.helpers; });
    }
    return job.error ? break_device(job.error, job.sentence) : SUCCESS;
}

} // namespace emulator
