#include "mlp.h"

int main(void)
{
    check_prepare(6.0f);
    check_normalise();
    check_mlp();
    return EXIT_SUCCESS;
}
