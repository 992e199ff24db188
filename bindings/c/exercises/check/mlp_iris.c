#include "mlp.h"

int main(void)
{
    check_normalise();
    check_mlp();
    return EXIT_SUCCESS;
}
