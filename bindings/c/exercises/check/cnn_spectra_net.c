/* The solution is the reference: its functions, under other names. */
#define main reference_main
#define read_data reference_read_data
#define describe reference_describe
#define rules reference_rules
#include "../cnn_spectra_net.c"
#undef main
#undef read_data
#undef describe
#undef rules
#include "net.h"

/* What the student's program defines. */
void read_data(kmc_dataset **train, kmc_dataset **test, const char *folder);
kmc_trainer_options rules(uint64_t seed);

int main(int argc, char **argv)
{
    kmc_dataset *yours[2] = { NULL, NULL }, *truth[2] = { NULL, NULL };
    (void)argc;
    (void)argv;
    read_data(&yours[0], &yours[1], NULL);
    reference_read_data(&truth[0], &truth[1], NULL);
    compare_all(yours, truth, reference_describe);
    compare_rules(rules(7), reference_rules(7));
    return EXIT_SUCCESS;
}
