#include "perceptron.h"

int main(void)
{
    check_normalise();
    check_perceptron();
    return EXIT_SUCCESS;
}
