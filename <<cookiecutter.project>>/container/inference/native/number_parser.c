/* Rows of plain numbers in CSV or JSON to doubles, exactly.

   Plain are JSON's numbers of up to 19 digits whose value one exact division or multiplication gives. For any other
   text the functions return -1, and slower readers in Python (requests.py) read it or say what is wrong with it.

   Memory: the caller owns the body, which need not end in a zero, and `rows`, which has room for `most` rows of `width`
   doubles. No byte at or behind `end` is read. Nothing is allocated, and several threads may call at once. */

#include <math.h>
#include <stdint.h>

typedef struct {
    const unsigned char *at, *end;
} Text;

enum { MOST_DIGITS = 19, MOST_EXACT = 22, MOST_DIVISOR = 18, MOST_EXPONENT = 999 };

static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static int is_digit(const Text *text) { return text->at < text->end && *text->at >= '0' && *text->at <= '9'; }

/* Append digits to `number`; return how many there were. With more than 19, `number` has overflowed. */
static int read_digits(Text *text, uint64_t *number) {
    const unsigned char *start = text->at;
    while (is_digit(text)) *number = *number * 10 + (uint64_t)(*text->at++ - '0');
    return text->at - start > MOST_EXPONENT ? MOST_EXPONENT : (int)(text->at - start);
}

/* Return number / 10^power, rounded to the nearest double, ties to even: number is above 2^53, power at most 18.
   Such a number is not a double, so a division of doubles would round twice. The quotient of integers has at least
   57 bits: 53 for the result, one to round by, and whether any bit behind it is set decides a tie. */
static double divide_exactly(uint64_t number, int power) {
    uint64_t divisor = 1;
    for (int each = 0; each < power; each++) divisor *= 10;
    unsigned __int128 numerator = (unsigned __int128)number * 4294967296u * 4294967296u;
    unsigned __int128 quotient = numerator / divisor;
    uint64_t high = (uint64_t)(quotient >> 64), low = (uint64_t)quotient;
    int length = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll(low);
    int zeros = low ? __builtin_ctzll(low) : 64 + __builtin_ctzll(high);
    int surplus = length - 54; /* behind 54 bits: positive, for 2^53 * 2^64 / 10^18 is above 2^57 */
    uint64_t kept = (uint64_t)(quotient >> surplus), bits = kept >> 1;
    int more = zeros < surplus || numerator != quotient * divisor;
    bits += (kept & 1) && (more || (bits & 1)) ? 1 : 0;
    return ldexp((double)bits, surplus + 1 - 64);
}

/* Set `value` to number * 10^power; return 0 when that is not exact here. Powers of ten up to 10^22 are doubles
   exactly, so that one multiplication or division rounds once (Clinger 1990). */
static int scale(uint64_t number, int power, double *value) {
    const uint64_t exact = 9007199254740992u;
    if (number == 0) *value = 0.0;
    else if (number <= exact && power >= 0 && power <= MOST_EXACT) *value = (double)number * POWERS[power];
    else if (number <= exact && power < 0 && power >= -MOST_EXACT) *value = (double)number / POWERS[-power];
    else if (power < 0 && power >= -MOST_DIVISOR) *value = divide_exactly(number, -power);
    else if (power == 0) *value = (double)number;
    else return 0;
    return 1;
}

/* Add an exponent to `power`; return 0 when it has no digits or more than three. */
static int read_exponent(Text *text, int *power) {
    uint64_t number = 0;
    int negative = 0;
    text->at++;
    if (text->at < text->end && (*text->at == '+' || *text->at == '-')) negative = *text->at++ == '-';
    int count = read_digits(text, &number);
    if (count == 0 || count > 3) return 0;
    *power += negative ? -(int)number : (int)number;
    return 1;
}

/* Read one number; return 0 when it is not plain. `whole` is set when it has neither a point nor an exponent. */
static int read_number(Text *text, double *value, int *whole) {
    uint64_t number = 0;
    int power = 0, negative = 0;
    *whole = 1;
    if (text->at < text->end && *text->at == '-') negative = 1, text->at++;
    int starts_with_zero = text->at < text->end && *text->at == '0';
    int count = read_digits(text, &number);
    if (count == 0 || (starts_with_zero && count > 1)) return 0;
    if (text->at < text->end && *text->at == '.') {
        text->at++;
        int places = read_digits(text, &number);
        if (places == 0) return 0;
        count += places;
        power = -places;
        *whole = 0;
    }
    if (count > MOST_DIGITS) return 0;
    if (text->at < text->end && (*text->at == 'e' || *text->at == 'E')) {
        *whole = 0;
        if (!read_exponent(text, &power)) return 0;
    }
    if (!scale(number, power, value)) return 0;
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

/* Skip space and one character; return 0 when another one comes. */
static int consume(Text *text, unsigned char expected) {
    skip_space(text);
    if (text->at == text->end || *text->at != expected) return 0;
    text->at++;
    return 1;
}

/* Read a line of `width` cells; return 0 when it is not plain. An empty cell is missing; a line of one cell never is:
   Python's reader decides whether an empty line is a row. */
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

/* Read lines of `width` numbers; return how many, or -1 when a line is not plain or there are more than `most`. */
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
    return !(whole && *cell == 0.0 && signbit(*cell)); /* JSON's -0 is an integer, which Python reads without a sign */
}

static int json_row(Text *text, uint64_t width, double *row, uint64_t *missing) {
    if (!consume(text, '[')) return 0;
    for (uint64_t column = 0; column < width; column++) {
        if (column && !consume(text, ',')) return 0;
        if (!json_cell(text, row + column, missing)) return 0;
    }
    return consume(text, ']');
}

/* Read `{"instances": [[…], …]}`, or the list alone; return as csv_numbers does. */
int64_t json_numbers(
    const unsigned char *body, uint64_t length, uint64_t width, double *rows, uint64_t most, uint64_t *missing) {
    static const char NAME[] = "\"instances\"";
    Text text = {body, body + length};
    uint64_t count = 0;
    int wrapped = consume(&text, '{');
    *missing = 0;
    if (wrapped) {
        skip_space(&text);
        for (const char *letter = NAME; *letter; letter++)
            if (text.at == text.end || *text.at++ != (unsigned char)*letter) return -1;
        if (!consume(&text, ':')) return -1;
    }
    if (!consume(&text, '[')) return -1;
    do {
        if (count == most || !json_row(&text, width, rows + count * width, missing)) return -1;
        count++;
    } while (consume(&text, ','));
    if (!consume(&text, ']') || (wrapped && !consume(&text, '}'))) return -1;
    skip_space(&text);
    return text.at == text.end ? (int64_t)count : -1;
}

/* Read rows and predict them in one call; `predict` is a function of trees.c or linear.c with one number a row. Return
   as csv_numbers does. */
int64_t parse_and_predict(
    int (*predict)(const void *, const double *, uint64_t, double *), const void *model, int is_json, const unsigned char *body,
    uint64_t length, uint64_t width, double *rows, uint64_t most, uint64_t *missing, double *answers) {
    int64_t count = is_json ? json_numbers(body, length, width, rows, most, missing)
                            : csv_numbers(body, length, width, rows, most, missing);
    if (count > 0 && predict(model, rows, (uint64_t)count, answers)) return -1;
    return count;
}
