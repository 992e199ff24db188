#include "perceptron.h"

int main(void)
{
    check_prepare(8.0f);
    check_normalise();
    check_perceptron();
    return EXIT_SUCCESS;
}
