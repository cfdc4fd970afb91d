/* Numbers in text to doubles, exactly: what is not plain is left to the slower readers, which say what is wrong.

   Plain are JSON's numbers of up to 19 digits whose value one exact division or multiplication gives. */

#include <math.h>
#include <stdint.h>

typedef struct {
    const unsigned char *at, *end;
} Text;

enum { MOST_DIGITS = 19, MOST_EXACT = 22, MOST_DIVISOR = 18, MOST_EXPONENT = 999 };

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_digit(const Text *text) { return text->at < text->end && *text->at >= '0' && *text->at <= '9'; }

/* Read digits into `number`, which holds those before them; return how many there were. */
static int digits(Text *text, uint64_t *number) {
    const unsigned char *start = text->at;
    while (is_digit(text)) *number = *number * 10 + (uint64_t)(*text->at++ - '0');
    return text->at - start > MOST_EXPONENT ? MOST_EXPONENT : (int)(text->at - start);
}

/* Divide by a power of ten with all bits that rounding asks for: number is above 2^53, power at most 18. */
static double divided(uint64_t number, int power) {
    uint64_t divisor = 1;
    for (int each = 0; each < power; each++) divisor *= 10;
    unsigned __int128 numerator = (unsigned __int128)number * 4294967296u * 4294967296u;
    unsigned __int128 quotient = numerator / divisor;
    uint64_t high = (uint64_t)(quotient >> 64), low = (uint64_t)quotient;
    int length = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll(low);
    int zeros = low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high);
    int surplus = length - 54; /* 53 bits and one to round by: positive, for 2^53 * 2^64 / 10^18 is above 2^57 */
    uint64_t kept = (uint64_t)(quotient >> surplus), bits = kept >> 1;
    int more = zeros < surplus || numerator != quotient * divisor;
    bits += (kept & 1) && (more || (bits & 1)) ? 1 : 0;
    return ldexp((double)bits, surplus + 1 - 64);
}

/* Give number * 10^power; 0 when that takes more than this file can. */
static int scaled(uint64_t number, int power, double *value) {
    const uint64_t exact = 9007199254740992u;
    if (number == 0) *value = 0.0;
    else if (number <= exact && power >= 0 && power <= MOST_EXACT) *value = (double)number * POWERS[power];
    else if (number <= exact && power < 0 && power >= -MOST_EXACT) *value = (double)number / POWERS[-power];
    else if (power < 0 && power >= -MOST_DIVISOR) *value = divided(number, -power);
    else if (power == 0) *value = (double)number;
    else return 0;
    return 1;
}

static int exponent(Text *text, int *power) {
    uint64_t number = 0;
    int negative = 0;
    text->at++;
    if (text->at < text->end && (*text->at == '+' || *text->at == '-')) negative = *text->at++ == '-';
    int count = digits(text, &number);
    if (count == 0 || count > 3) return 0;
    *power += negative ? -(int)number : (int)number;
    return 1;
}

/* Read one number; 0 when it is not plain. `whole` says whether it has neither a point nor an exponent. */
static int read_number(Text *text, double *value, int *whole) {
    uint64_t number = 0;
    int power = 0, negative = 0;
    *whole = 1;
    if (text->at < text->end && *text->at == '-') negative = 1, text->at++;
    int starts_with_zero = text->at < text->end && *text->at == '0';
    int count = digits(text, &number);
    if (count == 0 || (starts_with_zero && count > 1)) return 0;
    if (text->at < text->end && *text->at == '.') {
        text->at++;
        int places = digits(text, &number);
        if (places == 0) return 0;
        count += places;
        power = -places;
        *whole = 0;
    }
    if (count > MOST_DIGITS) return 0;
    if (text->at < text->end && (*text->at == 'e' || *text->at == 'E')) {
        *whole = 0;
        if (!exponent(text, &power)) return 0;
    }
    if (!scaled(number, power, value)) return 0;
    if (negative) *value = -*value;
    return 1;
}

static void skip_blanks(Text *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t')) text->at++;
}

static void skip_space(Text *text) {
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t' || *text->at == '\n' || *text->at == '\r'))
        text->at++;
}

static int take(Text *text, unsigned char wanted) {
    skip_space(text);
    if (text->at == text->end || *text->at != wanted) return 0;
    text->at++;
    return 1;
}

/* Read a line's cells; an empty one is missing, where there are several. */
static int csv_row(Text *text, uint64_t width, double *row, uint64_t *missing) {
    for (uint64_t column = 0; column < width; column++) {
        int whole;
        skip_blanks(text);
        if (column && (text->at == text->end || *text->at++ != ',')) return 0;
        skip_blanks(text);
        if (width > 1 && (text->at == text->end || *text->at == ',' || *text->at == '\n' || *text->at == '\r')) {
            row[column] = (double)NAN;
            ++*missing;
        } else if (!read_number(text, row + column, &whole)) return 0;
    }
    skip_blanks(text);
    if (text->at < text->end && *text->at == '\r' && text->at + 1 < text->end) text->at++;
    return text->at == text->end || *text->at++ == '\n';
}

/* Read lines of `width` numbers; return how many, -1 when any is not plain or there are more than `most`. */
int64_t csv_numbers(
    const unsigned char *body, uint64_t length, uint64_t width, double *rows, uint64_t most, uint64_t *missing) {
    Text text = {body, body + length};
    uint64_t count = 0;
    *missing = 0;
    while (text.at < text.end) {
        if (count == most || !csv_row(&text, width, rows + count * width, missing)) return -1;
        count++;
    }
    return (int64_t)count;
}

static int json_cell(Text *text, double *cell, uint64_t *missing) {
    int whole;
    skip_space(text);
    if (text->end - text->at > 4 && *text->at == 'n') {
        if (text->at[1] != 'u' || text->at[2] != 'l' || text->at[3] != 'l') return 0;
        text->at += 4;
        *cell = (double)NAN;
        ++*missing;
        return 1;
    }
    if (!read_number(text, cell, &whole)) return 0;
    return !(whole && *cell == 0.0 && signbit(*cell)); /* JSON's -0 is a whole number, and has no sign */
}

static int json_row(Text *text, uint64_t width, double *row, uint64_t *missing) {
    if (!take(text, '[')) return 0;
    for (uint64_t column = 0; column < width; column++) {
        if (column && !take(text, ',')) return 0;
        if (!json_cell(text, row + column, missing)) return 0;
    }
    return take(text, ']');
}

/* Read `{"instances": [[…], …]}`, or its list alone; as csv_numbers does. */
int64_t json_numbers(
    const unsigned char *body, uint64_t length, uint64_t width, double *rows, uint64_t most, uint64_t *missing) {
    static const char NAME[] = "\"instances\"";
    Text text = {body, body + length};
    uint64_t count = 0;
    int wrapped = take(&text, '{');
    *missing = 0;
    if (wrapped) {
        skip_space(&text);
        for (const char *letter = NAME; *letter; letter++)
            if (text.at == text.end || *text.at++ != (unsigned char)*letter) return -1;
        if (!take(&text, ':')) return -1;
    }
    if (!take(&text, '[')) return -1;
    do {
        if (count == most || !json_row(&text, width, rows + count * width, missing)) return -1;
        count++;
    } while (take(&text, ','));
    if (!take(&text, ']') || (wrapped && !take(&text, '}'))) return -1;
    skip_space(&text);
    return text.at == text.end ? (int64_t)count : -1;
}

/* Read rows and predict them at once; `predict` is a function of trees.c or lines.c. Returns as csv_numbers does. */
int64_t score(
    int (*predict)(const void *, const double *, uint64_t, double *), const void *model, int is_json, const unsigned char *body,
    uint64_t length, uint64_t width, double *rows, uint64_t most, uint64_t *missing, double *answers) {
    int64_t count = is_json ? json_numbers(body, length, width, rows, most, missing)
                            : csv_numbers(body, length, width, rows, most, missing);
    if (count > 0 && predict(model, rows, (uint64_t)count, answers)) return -1;
    return count;
}
