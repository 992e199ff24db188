/* A library in somebody's program: says nothing unasked, leaves the process as it was, stops when asked, trains in two threads at once. */
#define _GNU_SOURCE
#include <fenv.h>
#include <locale.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "test.h"

/* A whole run: data, network, trainer with a checkpoint, errors, prediction. Returns the bits of the last loss. */
static uint64_t whole_run(uint64_t seed)
{
    kmc_trainer_options o = test_options();
    kmc_report report = KMC_REPORT_INIT;
    kmc_dataset *digits = NULL, *none = NULL;
    kmc_network *net = NULL;
    kmc_trainer *trainer = NULL;
    kmc_model *model = NULL;
    uint64_t bits;
    float *y = (float *)malloc(64 * 10 * sizeof *y);
    if (!y) exit(1);
    o.seed = seed;
    o.threads = 2;
    o.optimizer.kind = KMC_ADAM;
    o.optimizer.learning_rate = 0.002;
    OK(kmc_dataset_make_digits(&digits, 64, seed));
    OK(kmc_network_create(&net, 1, 28, 28, 1));
    OK(kmc_network_conv(net, 4, 5, 1, 2, KMC_RELU, NULL));
    OK(kmc_network_pool(net, KMC_POOL_MAX, 2, NULL));
    OK(kmc_network_dropout(net, 0.25, 0, NULL));
    OK(kmc_network_dense(net, 10, KMC_LINEAR, NULL));
    OK(kmc_trainer_create(&trainer, net, digits, digits, &o));
    OK(kmc_trainer_fit(&report, trainer, 3, NULL));
    FAILS(KMC_ERR_IO, "nowhere", kmc_dataset_read_table(&none, "/nowhere/at/all", NULL));
    FAILS(KMC_ERR_NULL, "net", kmc_network_flatten(NULL, NULL));
    OK(kmc_trainer_model(&model, trainer));
    OK(kmc_model_predict(y, 640, model, digits, 0));
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(digits));
    free(y);
    memcpy(&bits, &report.loss, sizeof bits);
    return bits;
}

static unsigned control_words(void)
{
    unsigned both = (unsigned)fegetround();
#if defined(__x86_64__)
    unsigned mxcsr;
    unsigned short x87;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    /* Without the flags that say what happened: those are for everybody. */
    both ^= (mxcsr & ~0x3fu) << 8 ^ (unsigned)x87 << 16;
#endif
    return both;
}

static int same_mask(const sigset_t *a, const sigset_t *b)
{
    int same = 1;
    for (int s = 1; s < 32; s++) same &= sigismember(a, s) == sigismember(b, s);
    return same;
}

static int same_action(const struct sigaction *a, const struct sigaction *b)
{
    return a->sa_handler == b->sa_handler && a->sa_flags == b->sa_flags && same_mask(&a->sa_mask, &b->sa_mask);
}

/* Nothing printed, no signal's disposition or mask, no locale, no mode of the floating-point unit, no folder or mask of files changed. */
static void leaves_the_process_alone(void)
{
    struct sigaction before[32], after;
    sigset_t mask_before, mask_after;
    char locale[256], folder[2][1024];
    struct stat said;
    const char *path = test_file("said.txt");
    int out = dup(1), err = dup(2), changed = 0;
    setlocale(LC_ALL, "C.UTF-8");
    snprintf(locale, sizeof locale, "%s", setlocale(LC_ALL, NULL));
    for (int s = 1; s < 32; s++) sigaction(s, NULL, &before[s]);
    sigprocmask(SIG_BLOCK, NULL, &mask_before);
    mode_t mask = umask(022);
    umask(mask);
    CHECK(getcwd(folder[0], sizeof folder[0]) != NULL);
    fesetround(FE_UPWARD);
    unsigned words = control_words();
    fflush(NULL);
    FILE *f = freopen(path, "w", stdout);
    if (!f || dup2(fileno(stdout), 2) < 0) exit(1);

    whole_run(1);

    fflush(NULL);
    int nothing = fstat(1, &said) == 0 && said.st_size == 0;
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    CHECK(nothing);
    CHECK(control_words() == words);
    fesetround(FE_TONEAREST);
    CHECK(control_words() != words);
    for (int s = 1; s < 32; s++) {
        sigaction(s, NULL, &after);
        changed += !same_action(&before[s], &after);
    }
    CHECK(changed == 0);
    sigprocmask(SIG_BLOCK, NULL, &mask_after);
    CHECK(same_mask(&mask_before, &mask_after));
    CHECK(strcmp(setlocale(LC_ALL, NULL), locale) == 0);
    CHECK(umask(mask) == mask);
    CHECK(getcwd(folder[1], sizeof folder[1]) != NULL && strcmp(folder[0], folder[1]) == 0);
}

/* A program that traps, flushes to zero or rounds otherwise gets the same bits, its own mode and none of the library's flags. */
static void computes_in_its_own_mode(void)
{
    const uint64_t bits = whole_run(3);
#if defined(__x86_64__)
    /* Rounding to minus infinity; flushing to zero both ways; both, with traps on invalid operations, division by zero and overflow. */
    const unsigned modes[] = {0x3f80, 0x9fc0, 0xb940};
    for (int i = 0; i < 3; i++) {
        unsigned standard, after;
        __asm__ volatile("stmxcsr %0" : "=m"(standard));
        __asm__ volatile("ldmxcsr %0" : : "m"(modes[i]));
        const uint64_t found = whole_run(3);
        __asm__ volatile("stmxcsr %0" : "=m"(after));
        __asm__ volatile("ldmxcsr %0" : : "m"(standard));
        CHECK(found == bits);
        CHECK(after == modes[i]);
    }
#else
    CHECK(bits == whole_run(3));
#endif
}

/* What `verbose` asks for is printed. */
static void says_what_is_asked(void)
{
    kmc_trainer_options o = test_options();
    kmc_trainer *trainer = test_trainer(&o);
    kmc_fit_options fit = KMC_FIT_OPTIONS_INIT;
    struct stat said;
    int out = dup(1);
    fflush(NULL);
    if (!freopen(test_file("asked.txt"), "w", stdout)) exit(1);
    fit.verbose = 1;
    OK(kmc_trainer_fit(NULL, trainer, 2, &fit));
    fflush(NULL);
    int something = fstat(1, &said) == 0 && said.st_size > 20;
    dup2(out, 1);
    close(out);
    CHECK(something);
    OK(kmc_trainer_destroy(trainer));
}

static kmc_trainer *running;
static volatile sig_atomic_t alarms;

static void on_alarm(int signal)
{
    (void)signal;
    alarms++;
    kmc_request_stop(running);
}

static void stops_from_a_signal_handler(void)
{
    kmc_trainer_options o = test_options();
    kmc_report report = KMC_REPORT_INIT;
    struct sigaction action, old;
    struct itimerval soon = {{0, 20000}, {0, 50000}}, never = {{0, 0}, {0, 0}};
    running = test_trainer(&o);
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &soon, NULL);
    OK(kmc_trainer_fit(&report, running, INT64_C(1) << 40, NULL));
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &old, NULL);
    CHECK(alarms > 0 && report.ended == KMC_ENDED_STOPPED && report.steps > 0);
    OK(kmc_trainer_destroy(running));
}

typedef struct {
    kmc_trainer *trainer;
    kmc_report report;
    int started;
} fit_of;

static int32_t tell(const kmc_progress *p, void *user)
{
    (void)p;
    __atomic_store_n(&((fit_of *)user)->started, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static void *fit_on(void *user)
{
    fit_of *f = (fit_of *)user;
    kmc_fit_options o = KMC_FIT_OPTIONS_INIT;
    o.on_batch = tell;
    o.user = f;
    OK(kmc_trainer_fit(&f->report, f->trainer, INT64_C(1) << 40, &o));
    return NULL;
}

/* From another thread; the second time with NULL, which means all. */
static void stops_from_another_thread(void)
{
    kmc_trainer_options o = test_options();
    for (int all = 0; all < 2; all++) {
        fit_of f = {NULL, KMC_REPORT_INIT, 0};
        pthread_t thread;
        f.trainer = test_trainer(&o);
        if (pthread_create(&thread, NULL, fit_on, &f) != 0) exit(1);
        while (!__atomic_load_n(&f.started, __ATOMIC_SEQ_CST)) sched_yield();
        kmc_request_stop(all ? NULL : f.trainer);
        pthread_join(thread, NULL);
        CHECK(f.report.ended == KMC_ENDED_STOPPED);
        OK(kmc_trainer_destroy(f.trainer));
    }
}

typedef struct {
    uint64_t seed, bits;
} one_run;

static void *run_one(void *user)
{
    one_run *r = (one_run *)user;
    r->bits = whole_run(r->seed);
    return NULL;
}

static void two_at_once(void)
{
    one_run a = {11, 0}, b = {12, 0};
    pthread_t first, second;
    uint64_t alone_a = whole_run(11), alone_b = whole_run(12);
    if (pthread_create(&first, NULL, run_one, &a) != 0 || pthread_create(&second, NULL, run_one, &b) != 0) exit(1);
    pthread_join(first, NULL);
    pthread_join(second, NULL);
    CHECK(a.bits == alone_a && b.bits == alone_b && alone_a != alone_b);
}

int main(void)
{
    leaves_the_process_alone();
    computes_in_its_own_mode();
    says_what_is_asked();
    stops_from_a_signal_handler();
    stops_from_another_thread();
    two_at_once();
    return test_end("behave");
}
