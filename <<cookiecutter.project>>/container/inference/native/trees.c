/* Trees as flat arrays: many walks at a time, so that the waits for memory overlap.

   Layout: a tree is a run of slots in one array, and its root is its first slot. The two children of a node are
   neighbours, and come after the node by `ahead` slots: the right child's index is the left one's plus one, a step
   needs no branch, every step goes forward, and so each walk ends. A node's flags say which of its children are
   leaves, since a leaf's slot is nothing but its value. Trees that are a single leaf get a root above it (Python).

   Memory: the caller owns every array, and checks the arrays' shapes and the roots before the first call (`check` in
   forest.py and boosting.py). `forest_is_valid` and `boosting_is_valid` then check each node once, so that the walks
   themselves need no check. Rows are (count, features) doubles, C-contiguous; `answers` has room for all results.
   Work space is allocated and freed within a call, and several threads may call at once.

   Sums are scikit-learn's: the values of the trees are added one by one, in their order. Compile without
   contraction of floating-point operations, or the last bits differ. Shifts to the left are written as
   multiplications: two angle brackets begin a placeholder of the template. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    WALKS = 16,    /* at a time: about as many loads as a processor can have under way */
    ITEMS = 8192,  /* (tree, row) pairs whose leaves are kept before they are added */
    INPUTS = 65536 /* numbers in a block of rows: they stay in the cache together with a tree, which is read once */
};
enum { UNSEEN, NODE, LEAF };
enum { LEFT_IS_LEAF = 1, RIGHT_IS_LEAF = 2, MISSING_LEFT = 4, CATEGORICAL = 8 };

/* A forest's slot: a leaf is a double, or the index of its row in `values`. A node is, from the lowest bit, a float
   threshold (32 bits), three flags, the feature (`feature_bits`) and how many slots ahead its children are. */
typedef struct {
    const uint64_t *slots;
    const uint64_t *roots; /* (trees + 1,): the first slot of each tree, then the number of slots */
    const double *values;  /* (leaves, outputs), or NULL: one output, in the slots */
    uint64_t trees, features, outputs, leaves, feature_bits;
} Forest;

/* A boosted tree's slot: a leaf has its value. A node has a threshold or, when categorical, the index of a set. */
typedef struct {
    union {
        double number;
        uint64_t set;
    } value;
    uint32_t feature; /* times 16, plus the four flags */
    uint32_t ahead; /* slots from here to the left child */
} Slot;

typedef struct {
    const Slot *slots;
    const uint64_t *roots;     /* (trees + 1,), as a forest's */
    const double *baseline;    /* (outputs,) */
    const uint32_t *sets;      /* (number of sets, 8): the codes that go left, a bit each */
    const uint64_t *code_from; /* (features + 1,): where a feature's codes begin; a number has none */
    const uint16_t *codes;     /* (codes,): a category's code by its number, or UNKNOWN */
    uint64_t trees, features, outputs, set_count;
} Boosting;

enum { UNKNOWN = 0xffff };

static inline double as_double(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float threshold_of(uint64_t slot) {
    uint32_t bits = (uint32_t)slot;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Mark a node's children as the kind that its flags say; return 0 when they are outside, or have another parent. */
static int mark_children(uint8_t *marks, uint64_t at, uint64_t ahead, uint64_t end, unsigned flags) {
    uint64_t child = at + ahead;
    if (ahead == 0 || child + 1 >= end || marks[child] != UNSEEN || marks[child + 1] != UNSEEN) return 0;
    marks[child] = flags & LEFT_IS_LEAF ? LEAF : NODE;
    marks[child + 1] = flags & RIGHT_IS_LEAF ? LEAF : NODE;
    return 1;
}

/* Return 1 when every walk stays inside its tree and reads a slot as what it is; `marks` holds a zero for each slot.
   A parent comes before its children, so one pass in the order of the slots has marked a node before it is read. */
int forest_is_valid(const Forest *forest, uint8_t *marks) {
    uint64_t features = ((uint64_t)UINT32_MAX + 1) >> (32 - forest->feature_bits);
    for (uint64_t tree = 0; tree < forest->trees; tree++) {
        uint64_t start = forest->roots[tree], end = forest->roots[tree + 1];
        if (start >= end) return 0;
        marks[start] = NODE;
        for (uint64_t at = start; at < end; at++) {
            uint64_t slot = forest->slots[at], high = slot >> 32;
            if (marks[at] == LEAF && forest->values && slot >= forest->leaves) return 0;
            if (marks[at] != NODE) continue;
            if (((high >> 3) & (features - 1)) >= forest->features) return 0;
            if (!mark_children(marks, at, high >> (3 + forest->feature_bits), end, (unsigned)high)) return 0;
        }
    }
    return 1;
}

/* As forest_is_valid, and every set of categories that a node names exists, as do the codes of its feature. */
int boosting_is_valid(const Boosting *model, uint8_t *marks) {
    for (uint64_t tree = 0; tree < model->trees; tree++) {
        uint64_t start = model->roots[tree], end = model->roots[tree + 1];
        if (start >= end) return 0;
        marks[start] = NODE;
        for (uint64_t at = start; at < end; at++) {
            const Slot *slot = model->slots + at;
            if (marks[at] != NODE) continue;
            if (slot->feature / 16 >= model->features) return 0;
            if (slot->feature & CATEGORICAL) {
                if (slot->value.set >= model->set_count) return 0;
                if (model->code_from[slot->feature / 16] == model->code_from[slot->feature / 16 + 1]) return 0;
            }
            if (!mark_children(marks, at, slot->ahead, end, slot->feature)) return 0;
        }
    }
    return 1;
}

/* Begin the next walk as number `walk` of those under way: through the present tree, for the present row. The
   macros use the locals of a walk_ function, which differ in their types. */
#define BEGIN(walk, model)                                  \
    at[walk] = (model)->slots + (model)->roots[tree];       \
    row_of[walk] = inputs + row * (model)->features;        \
    item_of[walk] = next++;                                 \
    if (++row == rows) {                                    \
        row = 0;                                            \
        tree++;                                             \
    }

/* After walk number `walk` has ended: begin the next one in its place, or put the last one under way there. */
#define CONTINUE(walk, model)        \
    if (next < items) {              \
        BEGIN(walk, model)           \
        continue;                    \
    }                                \
    active--;                        \
    at[walk] = at[active];           \
    row_of[walk] = row_of[active];   \
    item_of[walk] = item_of[active]; \
    walk--;

/* Walk `trees` trees, from number `first`, for `rows` rows; leaves[tree * rows + row] gets the leaf of each walk.
   Inlined twice: rows without a missing value (`missing` is 0) take a shorter loop. */
static inline __attribute__((always_inline)) void walk_forest(
    const Forest *forest, uint64_t first, uint64_t trees, const float *inputs, uint64_t rows, uint64_t *leaves, int missing) {
    const uint64_t *at[WALKS];
    const float *row_of[WALKS];
    uint64_t item_of[WALKS], next = 0, items = trees * rows, tree = first, row = 0, active = 0;
    const unsigned shift = 3 + (unsigned)forest->feature_bits;
    const uint32_t mask = (uint32_t)(((uint64_t)UINT32_MAX + 1) >> (32 - forest->feature_bits)) - 1;
    while (active < WALKS && next < items) {
        BEGIN(active, forest)
        active++;
    }
    while (active) {
        for (uint64_t walk = 0; walk < active; walk++) {
            uint64_t slot = *at[walk];
            uint32_t high = (uint32_t)(slot >> 32);
            float value = row_of[walk][(high >> 3) & mask];
            uint32_t right = !(value <= threshold_of(slot));
            if (missing) right &= !((value != value) & ((high & MISSING_LEFT) != 0));
            at[walk] += (high >> shift) + right;
            if (!((high >> right) & LEFT_IS_LEAF)) continue;
            leaves[item_of[walk]] = *at[walk];
            CONTINUE(walk, forest)
        }
    }
}

/* Return how many of `count` rows make a block. */
static uint64_t block_rows(uint64_t count, uint64_t features) {
    uint64_t most = features < INPUTS / WALKS ? INPUTS / features : WALKS;
    most = most < ITEMS ? most : ITEMS;
    return count < most ? count : most;
}

/* Round rows to floats as scikit-learn's trees do, clipped to their range; return whether a value is missing. */
static int to_floats(const double *rows, uint64_t count, float *inputs) {
    int missing = 0;
    for (uint64_t at = 0; at < count; at++) {
        double value = rows[at];
        value = value > 3.4028234663852886e38 ? 3.4028234663852886e38 : value;
        value = value < -3.4028234663852886e38 ? -3.4028234663852886e38 : value;
        missing |= value != value;
        inputs[at] = (float)value;
    }
    return missing;
}

/* Add the values of (trees, rows) leaves to (rows, outputs) sums, tree by tree. */
static void add_leaves(const Forest *forest, const uint64_t *leaves, uint64_t trees, uint64_t rows, double *sums) {
    if (!forest->values) {
        for (uint64_t tree = 0; tree < trees; tree++)
            for (uint64_t row = 0; row < rows; row++) sums[row] += as_double(leaves[tree * rows + row]);
        return;
    }
    for (uint64_t tree = 0; tree < trees; tree++)
        for (uint64_t row = 0; row < rows; row++) {
            const double *values = forest->values + leaves[tree * rows + row] * forest->outputs;
            for (uint64_t output = 0; output < forest->outputs; output++)
                sums[row * forest->outputs + output] += values[output];
        }
}

/* Average the trees for (count, features) rows into (count, outputs) answers; return -1 when memory is short. */
int forest_predict(const Forest *forest, const double *rows, uint64_t count, double *answers) {
    uint64_t leaves[ITEMS], most = block_rows(count, forest->features);
    float *inputs = malloc(most * forest->features * sizeof *inputs + 1);
    if (!inputs) return -1;
    memset(answers, 0, count * forest->outputs * sizeof *answers);
    for (uint64_t done = 0; done < count; done += most) {
        uint64_t block = count - done < most ? count - done : most;
        double *sums = answers + done * forest->outputs;
        int missing = to_floats(rows + done * forest->features, block * forest->features, inputs);
        for (uint64_t tree = 0; tree < forest->trees; tree += ITEMS / block) {
            uint64_t left = forest->trees - tree, trees = left < ITEMS / block ? left : ITEMS / block;
            if (missing) walk_forest(forest, tree, trees, inputs, block, leaves, 1);
            else walk_forest(forest, tree, trees, inputs, block, leaves, 0);
            add_leaves(forest, leaves, trees, block, sums);
        }
        for (uint64_t at = 0; at < block * forest->outputs; at++) sums[at] /= (double)forest->trees;
    }
    free(inputs);
    return 0;
}

/* Return whether a code, which is below 256, is in a set. */
static inline int contains(const uint32_t *sets, uint64_t set, double code) {
    uint32_t bit = (uint32_t)code;
    return (sets[set * 8 + bit / 32] >> (bit % 32)) & 1;
}

/* As walk_forest; leaves are values. In `plain` rows nothing is missing and no feature is categorical. */
static inline __attribute__((always_inline)) void walk_boosting(
    const Boosting *model, uint64_t first, uint64_t trees, const double *inputs, uint64_t rows, double *leaves, int plain) {
    const Slot *at[WALKS];
    const double *row_of[WALKS];
    uint64_t item_of[WALKS], next = 0, items = trees * rows, tree = first, row = 0, active = 0;
    while (active < WALKS && next < items) {
        BEGIN(active, model)
        active++;
    }
    while (active) {
        for (uint64_t walk = 0; walk < active; walk++) {
            const Slot *slot = at[walk];
            uint32_t high = slot->feature;
            double value = row_of[walk][high / 16];
            uint32_t right;
            if (plain) right = !(value <= slot->value.number);
            else if (value != value) right = !(high & MISSING_LEFT);
            else if (high & CATEGORICAL) right = !contains(model->sets, slot->value.set, value);
            else right = !(value <= slot->value.number);
            at[walk] = slot + slot->ahead + right;
            if (!((high >> right) & LEFT_IS_LEAF)) continue;
            leaves[item_of[walk]] = at[walk]->value.number;
            CONTINUE(walk, model)
        }
    }
}

/* Replace categories by codes, and unknown ones by NaN; return whether there are numbers alone, none of them NaN. */
static int to_codes(const Boosting *model, const double *rows, uint64_t count, double *inputs) {
    int plain = 1;
    for (uint64_t row = 0; row < count; row++)
        for (uint64_t feature = 0; feature < model->features; feature++) {
            double value = rows[row * model->features + feature];
            uint64_t from = model->code_from[feature], known = model->code_from[feature + 1] - from;
            if (known) {
                plain = 0;
                uint16_t code = UNKNOWN;
                if (value >= 0 && value < (double)known && value == (double)(uint64_t)value)
                    code = model->codes[from + (uint64_t)value];
                value = code == UNKNOWN ? (double)NAN : code;
            }
            plain &= value == value;
            inputs[row * model->features + feature] = value;
        }
    return plain;
}

/* Add the trees for (count, features) rows to the baseline, into (outputs, count) answers; return -1 when memory is
   short. The trees of several outputs take turns. */
int boosting_predict(const Boosting *model, const double *rows, uint64_t count, double *answers) {
    double leaves[ITEMS];
    uint64_t most = block_rows(count, model->features);
    double *inputs = malloc(most * model->features * sizeof *inputs + 1);
    if (!inputs) return -1;
    for (uint64_t output = 0; output < model->outputs; output++)
        for (uint64_t row = 0; row < count; row++) answers[output * count + row] = 0.0 + model->baseline[output];
    for (uint64_t done = 0; done < count; done += most) {
        uint64_t block = count - done < most ? count - done : most;
        int plain = to_codes(model, rows + done * model->features, block, inputs);
        for (uint64_t tree = 0; tree < model->trees; tree += ITEMS / block) {
            uint64_t left = model->trees - tree, trees = left < ITEMS / block ? left : ITEMS / block;
            if (plain) walk_boosting(model, tree, trees, inputs, block, leaves, 1);
            else walk_boosting(model, tree, trees, inputs, block, leaves, 0);
            for (uint64_t each = 0; each < trees; each++) {
                double *sums = answers + (tree + each) % model->outputs * count + done;
                for (uint64_t row = 0; row < block; row++) sums[row] += leaves[each * block + row];
            }
        }
    }
    free(inputs);
    return 0;
}

/* Turn the sums of the second of two classes into (count, 2) probabilities, as scipy's expit does. */
void logistic(const double *sums, uint64_t count, double *answers) {
    for (uint64_t row = 0; row < count; row++) {
        double second = 1.0 / (1.0 + exp(-sums[row]));
        answers[2 * row + 1] = second;
        answers[2 * row] = 1.0 - second;
    }
}
