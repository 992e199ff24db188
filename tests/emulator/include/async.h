// cp.async. In forward order a copy lands as late as it may, when its group is waited for; in reverse order as early as it
// may, at once; in random order by chance. So a missing wait reads poison, and a stage refilled too early is overwritten.
#pragma once

namespace emulator {

// ------------------------------------------------------------------------------------------------ in the library
// `bytes` (4, 8 or 16) to shared memory, of which the first `valid` come from `from` and the rest are 0.
void cp_async(void* to, const void* from, unsigned bytes, unsigned valid, int line = __builtin_LINE());
void cp_commit();
void cp_wait(unsigned left); // until at most `left` of this thread's groups are under way
void cp_wait_all();          // of everything, committed or not
// Arrives at a barrier (hopper.h) when all copies that this thread has begun have landed.
void cp_async_arrive(void* barrier);

} // namespace emulator
