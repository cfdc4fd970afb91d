/* Linear models: inputs are filled, scaled and held in range, then weighed one by one, in their order. */

#include <stdint.h>

/* The columns of numbers come first, then one column for each level of each category. */
typedef struct {
    const uint64_t *numbers;    /* (number_count,): the features that are numbers */
    const double *fill;         /* (number_count,) each, as those that follow: what a missing one counts as, */
    const double *mean;         /* what is taken off, */
    const double *scale;        /* and what it is divided by */
    const uint64_t *categories; /* (category_count,): the features that are categories */
    const uint64_t *levels;     /* (category_count,): how many each has */
    const double *weights;      /* (outputs, columns) */
    const double *offsets;      /* (outputs,) */
    const double *largest;      /* (1,): the range that inputs are held in */
    uint64_t features, number_count, category_count, columns, outputs;
} Line;

static double held(double value, double largest) {
    value = value > largest ? largest : value;
    return value < -largest ? -largest : value;
}

static double weigh(const Line *line, const double *row, const double *weights) {
    double sum = 0.0;
    for (uint64_t at = 0; at < line->number_count; at++) {
        double value = row[line->numbers[at]];
        value = value == value ? value : line->fill[at];
        sum += held((value - line->mean[at]) / line->scale[at], *line->largest) * weights[at];
    }
    weights += line->number_count;
    for (uint64_t at = 0; at < line->category_count; at++) {
        double value = row[line->categories[at]];
        for (uint64_t level = 0; level < line->levels[at]; level++)
            sum += (value == (double)level ? 1.0 : 0.0) * *weights++;
    }
    return sum;
}

/* Score (count, features) rows into (count, outputs). */
int line_predict(const Line *line, const double *rows, uint64_t count, double *answers) {
    for (uint64_t row = 0; row < count; row++)
        for (uint64_t output = 0; output < line->outputs; output++)
            answers[row * line->outputs + output] =
                weigh(line, rows + row * line->features, line->weights + output * line->columns) +
                line->offsets[output];
    return 0;
}
