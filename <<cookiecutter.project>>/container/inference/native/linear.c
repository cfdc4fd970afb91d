/* Linear models: inputs are imputed, scaled and clipped, then multiplied by their weights and added in their order.

   Memory: the caller owns every array, and checks the arrays' shapes and the features that they name before the first
   call (`check` in linear.py). Rows are (count, features) doubles, C-contiguous; `answers` has room for all results. */

#include <stdint.h>

/* The columns of numbers come first, then one column for each level of each category. */
typedef struct {
    const uint64_t *numbers;    /* (number_count,): the features that are numbers */
    const double *fill;         /* (number_count,): the value in place of a missing one */
    const double *mean;         /* (number_count,): what is subtracted */
    const double *scale;        /* (number_count,): the divisor */
    const uint64_t *categories; /* (category_count,): the features that are categories */
    const uint64_t *levels;     /* (category_count,): how many each has */
    const double *weights;      /* (outputs, columns) */
    const double *offsets;      /* (outputs,) */
    const double *largest;      /* (1,): scaled inputs are clipped to -largest and largest */
    uint64_t features, number_count, category_count, columns, outputs;
} LinearModel;

static double clip(double value, double largest) {
    value = value > largest ? largest : value;
    return value < -largest ? -largest : value;
}

/* Return a row's score for one output; a category adds the weight of its level. */
static double weighted_sum(const LinearModel *model, const double *row, const double *weights) {
    double sum = 0.0;
    for (uint64_t at = 0; at < model->number_count; at++) {
        double value = row[model->numbers[at]];
        value = value == value ? value : model->fill[at];
        sum += clip((value - model->mean[at]) / model->scale[at], *model->largest) * weights[at];
    }
    weights += model->number_count;
    for (uint64_t at = 0; at < model->category_count; at++) {
        double value = row[model->categories[at]];
        for (uint64_t level = 0; level < model->levels[at]; level++)
            sum += (value == (double)level ? 1.0 : 0.0) * *weights++;
    }
    return sum;
}

/* Write the scores of (count, features) rows into (count, outputs) answers; return 0. */
int linear_predict(const LinearModel *model, const double *rows, uint64_t count, double *answers) {
    for (uint64_t row = 0; row < count; row++)
        for (uint64_t output = 0; output < model->outputs; output++)
            answers[row * model->outputs + output] =
                weighted_sum(model, rows + row * model->features, model->weights + output * model->columns) +
                model->offsets[output];
    return 0;
}
