/* One small network, three steps: the same bits in Rust, C and Fortran. */
#include "test.h"

int main(void)
{
    kmc_dataset *digits = NULL;
    kmc_network *net = NULL;
    kmc_trainer *trainer = NULL;
    kmc_model *model = NULL;
    kmc_trainer_options o = KMC_TRAINER_OPTIONS_INIT;
    static float y[96 * 10];
    OK(kmc_dataset_make_digits(&digits, 96, 3));
    OK(kmc_network_create(&net, 1, 28, 28, 1));
    OK(kmc_network_conv(net, 4, 5, 1, 2, KMC_RELU, NULL));
    OK(kmc_network_pool(net, KMC_POOL_MAX, 2, NULL));
    OK(kmc_network_dense(net, 16, KMC_TANH, NULL));
    OK(kmc_network_dropout(net, 0.25, 0, NULL));
    OK(kmc_network_dense(net, 10, KMC_LINEAR, NULL));
    o.device = "cpu";
    o.seed = 7;
    o.batch = 32;
    o.optimizer.kind = KMC_ADAM;
    o.optimizer.learning_rate = 0.002;
    OK(kmc_trainer_create(&trainer, net, digits, NULL, &o));
    for (int step = 1; step <= 3; step++) {
        double loss = 0;
        uint64_t bits;
        OK(kmc_trainer_step(&loss, trainer));
        memcpy(&bits, &loss, sizeof bits);
        printf("step %d loss %016" PRIX64 "\n", step, bits);
    }
    OK(kmc_trainer_model(&model, trainer));
    OK(kmc_model_predict(y, LEN(y), model, digits, 32));
    printf("y");
    for (int i = 0; i < 10; i++) {
        uint32_t bits;
        memcpy(&bits, &y[i], sizeof bits);
        printf(" %08" PRIX32, bits);
    }
    printf("\n");
    OK(kmc_trainer_destroy(trainer));
    OK(kmc_network_destroy(net));
    OK(kmc_dataset_destroy(digits));
    return 0;
}
