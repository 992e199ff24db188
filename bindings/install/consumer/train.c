/* A network trained by somebody who has kamacite installed. */
#include <kamacite.h>
#include <stdio.h>

#define TRY(call) do { if ((call) != KMC_OK) { fprintf(stderr, "%s\n", kmc_last_error()); return 1; } } while (0)

int main(void)
{
    kmc_dataset *digits;
    kmc_network *net;
    kmc_trainer *trainer;
    kmc_trainer_options options = KMC_TRAINER_OPTIONS_INIT;
    kmc_report report = KMC_REPORT_INIT;
    options.optimizer.kind = KMC_ADAM;
    TRY(kmc_dataset_make_digits(&digits, 300, 1));
    TRY(kmc_network_create(&net, 1, 28, 28, 1));
    TRY(kmc_network_dense(net, 32, KMC_RELU, NULL));
    TRY(kmc_network_dense(net, 10, KMC_LINEAR, NULL));
    TRY(kmc_trainer_create(&trainer, net, digits, digits, &options));
    TRY(kmc_trainer_fit(&report, trainer, 5, NULL));
    printf("RESULT version=%s accuracy=%.3f\n", kmc_version(), report.valid.accuracy);
    return report.valid.accuracy < 0.9;
}
