/* Trainers: fit, step, callbacks, histories, checkpoints, resume. */
#include "test.h"

typedef struct {
    int epochs, batches, lines;
    int stop_at;
    double last;
} told;

static int32_t on_epoch(const kmc_progress *p, void *user)
{
    told *t = (told *)user;
    t->epochs++;
    t->last = p->valid_loss;
    return t->stop_at && t->epochs >= t->stop_at;
}

static int32_t on_batch(const kmc_progress *p, void *user)
{
    ((told *)user)->batches++;
    return p->samples != 96;
}

static void on_line(const char *line, void *user)
{
    if (strlen(line) > 5) ((told *)user)->lines++;
}

static void run(void)
{
    kmc_trainer_options o = test_options();
    kmc_trainer *trainer = test_trainer(&o);
    kmc_fit_options fit = KMC_FIT_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    kmc_scores scores = KMC_SCORES_INIT;
    kmc_record records[12];
    told t = {0, 0, 0, 0, 0.0};
    int64_t n = 0, confusion[9];
    uint64_t epoch = 0;
    double rate = 0, loss = 0;
    fit.on_epoch = on_epoch;
    fit.on_batch = on_batch;
    fit.log = on_line;
    fit.user = &t;
    fit.csv = test_file("history.csv");
    fit.json_lines = test_file("history.jsonl");
    OK(kmc_trainer_fit(&report, trainer, 10, &fit));
    CHECK(t.epochs == 10 && t.batches == 60 && t.lines >= 10 && t.last == report.valid.loss);
    CHECK(report.ended == KMC_ENDED_DONE && report.epochs == 10 && report.steps == 60 && report.seconds > 0);
    CHECK(report.valid.accuracy > 0.8 && report.valid.samples == 30);
    OK(kmc_trainer_epoch(&epoch, trainer));
    CHECK(epoch == 10);
    OK(kmc_trainer_learning_rate(&rate, trainer));
    CHECK(rate == 0.1);
    OK(kmc_trainer_history(NULL, 0, &n, trainer));
    CHECK(n == 10);
    OK(kmc_trainer_history(records, 12, &n, trainer));
    CHECK(records[9].epoch == 10 && records[9].loss == report.loss && records[9].loss < records[0].loss);
    OK(kmc_trainer_validate(&scores, confusion, 9, trainer));
    CHECK(scores.loss == report.valid.loss && scores.classes == 3);
    OK(kmc_trainer_step(&loss, trainer));
    CHECK(loss > 0);
    /* A callback ends the run; a request before it does so at once. */
    t.stop_at = 11;
    OK(kmc_trainer_fit(&report, trainer, 20, &fit));
    CHECK(report.ended == KMC_ENDED_STOPPED && t.epochs == 11);
    kmc_request_stop(trainer);
    OK(kmc_trainer_fit(&report, trainer, 30, NULL));
    CHECK(report.ended == KMC_ENDED_STOPPED);
    OK(kmc_trainer_fit(&report, trainer, 12, NULL));
    CHECK(report.ended == KMC_ENDED_DONE && report.epochs == 12);
    OK(kmc_trainer_destroy(trainer));
}

/* Saved and restored, and resumed, a run gives the bits of one that went through. */
static void resume(void)
{
    const char *path = test_file("run.safetensors"), *kept = test_file("kept.safetensors");
    kmc_trainer_options o = test_options();
    kmc_trainer *a = test_trainer(&o), *b = test_trainer(&o);
    kmc_report whole = KMC_REPORT_INIT, part = KMC_REPORT_INIT;
    OK(kmc_trainer_fit(&whole, a, 6, NULL));
    OK(kmc_trainer_fit(&part, b, 3, NULL));
    OK(kmc_trainer_save(b, path));
    OK(kmc_trainer_fit(NULL, b, 5, NULL));
    OK(kmc_trainer_restore(b, path));
    OK(kmc_trainer_fit(&part, b, 6, NULL));
    CHECK(part.loss == whole.loss && part.valid.loss == whole.valid.loss && part.steps == whole.steps);
    OK(kmc_trainer_destroy(a));
    OK(kmc_trainer_destroy(b));
    remove(kept);
    o.checkpoint = kept;
    o.resume = kept;
    o.best = test_file("best.safetensors");
    a = test_trainer(&o);
    OK(kmc_trainer_fit(NULL, a, 4, NULL));
    OK(kmc_trainer_destroy(a));
    a = test_trainer(&o);
    OK(kmc_trainer_fit(&part, a, 6, NULL));
    CHECK(part.loss == whole.loss && part.epochs == 6);
    OK(kmc_trainer_destroy(a));
}

/* Every rule of training there is, in one run each. */
static void rules(void)
{
    const int64_t milestones[2] = {2, 4};
    const double weights[3] = {1, 2, 1};
    for (int i = 0; i < 9; i++) {
        kmc_trainer_options o = test_options();
        kmc_report report = KMC_REPORT_INIT;
        o.schedule.kind = i;
        o.schedule.period = 20;
        o.schedule.growth = 2;
        o.schedule.factor = 0.9;
        o.schedule.floor = 0.1;
        o.schedule.rate = 0.1;
        o.schedule.power = 2;
        o.schedule.milestones = milestones;
        o.schedule.n_milestones = 2;
        o.schedule.warm_up = i % 2;
        o.optimizer.kind = i % 5;
        o.optimizer.learning_rate = 0.01;
        o.loss.smoothing = 0.1;
        o.loss.class_weights = weights;
        o.loss.n_class_weights = 3;
        o.clip = i % 3;
        o.clip_bound = 1.0;
        o.ema_decay = i % 2 ? 0.9 : 0.0;
        o.accumulate = 2;
        o.early_patience = 2;
        o.plateau_patience = 1;
        o.watch_accuracy = i % 2;
        kmc_trainer *trainer = test_trainer(&o);
        kmc_model *model = NULL;
        uint64_t updates = 0;
        OK(kmc_trainer_fit(&report, trainer, 4, NULL));
        OK(kmc_trainer_model(&model, trainer));
        OK(kmc_model_updates(&updates, model));
        CHECK(report.loss > 0 && isfinite(report.loss) && updates == report.steps);
        OK(kmc_trainer_destroy(trainer));
    }
}

/* A batch larger than the data is the data, however much larger. */
static void large_batches(void)
{
    const int64_t most = INT64_MAX / 16;
    double loss[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        kmc_trainer_options o = test_options();
        o.batch = i ? most : 96;
        o.accumulate = i ? most : 1;
        kmc_trainer *trainer = test_trainer(&o);
        kmc_report report = KMC_REPORT_INIT;
        OK(kmc_trainer_fit(&report, trainer, 3, NULL));
        CHECK(report.steps == 3);
        loss[i] = report.loss;
        OK(kmc_trainer_destroy(trainer));
    }
    CHECK(loss[0] == loss[1]);
}

/* An error of the callback's is told from the engine's. */
static int32_t fails(const kmc_progress *p, void *user)
{
    (void)p;
    (void)user;
    return -7;
}

static void callback_fails(void)
{
    kmc_trainer_options o = test_options();
    kmc_trainer *trainer = test_trainer(&o);
    kmc_fit_options fit = KMC_FIT_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    fit.on_batch = fails;
    FAILS(KMC_ERR_CALLBACK, "callback", kmc_trainer_fit(&report, trainer, 2, &fit));
    OK(kmc_trainer_fit(&report, trainer, 2, NULL));
    CHECK(report.ended == KMC_ENDED_DONE);
    OK(kmc_trainer_destroy(trainer));
}

int main(void)
{
    run();
    resume();
    rules();
    callback_fails();
    large_batches();
    return test_end("trainer");
}
