/* Into the frames of bonds and back: densities of the ends of bonds turned by D^l and contracted to variables, and
 * answers in the frames turned by the transposed D^L and added up to blocks. Nothing in between is held but a few rows.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { WIDTH = 8, BLOCK = 8, MOST_L = 12 }; /* numbers in a vector, rows at once, largest l */

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_THIS_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef double vec __attribute__((vector_size(8 * WIDTH)));

typedef struct {
    int64_t n_ends, max_l, n_channels, n_distance;
    const int64_t *n_components;  /* by m */
    const double *const *vectors; /* by m [raw, component], as many columns as fill vectors */
    const double *shift;          /* of the components of m = 0 */
} contraction;

typedef struct {
    const int64_t *atoms[2];        /* i and j [row] */
    const int64_t *sample;          /* whose blocks a row adds to [row] */
    const double *weight;           /* [row] */
    const double *density;          /* [atom, lm, channel] */
    const double *const *rotations; /* D^l by l [row, 2l+1, 2l+1] */
    const double *distance;         /* functions of the length of the bond [row, n_distance] */
} rows;

INLINE int64_t raw_size(const contraction *c, int64_t m)
{
    return c->n_ends * (c->max_l + 1 - m) * c->n_channels + (m ? 0 : c->n_distance);
}

/* Some channels of the density of one end, turned: by m and part, those of l = m ... max_l side by side. */
INLINE void turn_channels(const contraction *c, const rows *r, int64_t row, const double *density, int64_t first,
                          int exchanged, int64_t end, double *const raw[][2], const int64_t n)
{
    int64_t q = c->n_channels;
    for (int64_t l = 0; l <= c->max_l; l++) {
        int64_t width = 2 * l + 1;
        const double *turn = r->rotations[l] + row * width * width;
        vec x[2 * MOST_L + 1];
        for (int64_t i = 0; i < width; i++) {
            x[i] = (vec){0};
            memcpy(x + i, density + (l * l + i) * q + first, sizeof(double) * n);
        }
        for (int64_t k = 0; k < width; k++, turn += width) {
            int64_t m = k < l ? l - k : k - l;
            vec sum = {0};
            for (int64_t i = 0; i < width; i++)
                sum += turn[i] * x[i];
            sum = exchanged && (l - m) % 2 ? -sum : sum;
            memcpy(raw[m][k < l] + (end * (c->max_l + 1 - m) + l - m) * q + first, &sum, sizeof(double) * n);
        }
    }
}

/* Raw variables of one row, seen from j if it is exchanged. */
INLINE void raw_of(const contraction *c, const rows *r, int64_t row, int exchanged, double *const raw[][2])
{
    int64_t n_lm = (c->max_l + 1) * (c->max_l + 1);
    for (int64_t end = 0; end < c->n_ends; end++) {
        const double *density = r->density + r->atoms[exchanged ? 1 - end : end][row] * n_lm * c->n_channels;
        for (int64_t first = 0; first < c->n_channels; first += WIDTH)
            if (c->n_channels - first >= WIDTH)
                turn_channels(c, r, row, density, first, exchanged, end, raw, WIDTH);
            else
                turn_channels(c, r, row, density, first, exchanged, end, raw, c->n_channels - first);
    }
    memcpy(raw[0][0] + raw_size(c, 0) - c->n_distance, r->distance + row * c->n_distance,
           sizeof(double) * c->n_distance);
}

/* out[component, row] of R rows and V vectors of components: raw[row, k] times vectors[k, component]. */
INLINE void product(const double *raw, int64_t n, const double *vectors, int64_t columns, vec *sums, const int R,
                    const int V)
{
    vec own[BLOCK * 2];
    for (int k = 0; k < R * V; k++)
        own[k] = (vec){0};
    for (int64_t k = 0; k < n; k++, vectors += columns)
        for (int v = 0; v < V; v++) {
            vec x;
            memcpy(&x, vectors + v * WIDTH, sizeof(vec));
            for (int i = 0; i < R; i++)
                own[i * V + v] += raw[i * n + k] * x;
        }
    for (int k = 0; k < R * V; k++)
        sums[k] = own[k];
}

/* Components of R rows of one m and part into out[component, row]. */
INLINE void contract(const double *raw, int64_t n, const double *vectors, int64_t n_out, const double *shift,
                     double *out, int64_t stride, const int R)
{
    int64_t columns = (n_out + WIDTH - 1) / WIDTH * WIDTH;
    vec sums[BLOCK * 2];
    for (int64_t first = 0; first < n_out; first += 2 * WIDTH) {
        int n_vec = columns - first > WIDTH ? 2 : 1;
        if (n_vec == 2)
            product(raw, n, vectors + first, columns, sums, R, 2);
        else
            product(raw, n, vectors + first, columns, sums, R, 1);
        int64_t here = n_out - first < 2 * WIDTH ? n_out - first : 2 * WIDTH;
        for (int64_t k = 0; k < here; k++)
            for (int i = 0; i < R; i++)
                out[(first + k) * stride + i] =
                    ((const double *)(sums + i * n_vec))[k] - (shift ? shift[first + k] : 0.0);
    }
}

/* Real parts of all variables, then imaginary parts of those with a charge [part, row]: of rows start ... stop - 1 as
 * they are, if exchanged is not 1, then as seen from the other end, if it is not 0. work holds BLOCK rows of raw
 * variables. */
FOR_THIS_CPU
void hamlearn_bond_components(const contraction *c, const rows *r, int64_t start, int64_t stop, int64_t exchanged,
                              double *work, double *out, int64_t stride)
{
    int64_t n_variables = 0, first, last;
    for (int64_t m = 0; m <= c->max_l; m++)
        n_variables += c->n_components[m];
    for (int side = exchanged == 1; side <= (exchanged != 0); side++, out += stop - start)
        for (first = start; first < stop; first = last) {
            int64_t left = stop - first, n = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
            last = first + n;
            for (int64_t row = first; row < last; row++) {
                double *raw[MOST_L + 1][2], *next = work;
                for (int64_t m = 0; m <= c->max_l; m++)
                    for (int part = 0; part <= (m > 0); part++, next += BLOCK * raw_size(c, m))
                        raw[m][part] = next + (row - first) * raw_size(c, m);
                raw_of(c, r, row, side, raw);
            }
            const double *raw = work;
            double *re = out + first - start, *im = re + n_variables * stride;
            for (int64_t m = 0; m <= c->max_l; m++)
                for (int part = 0; part <= (m > 0); part++) {
                    int64_t size = raw_size(c, m), n_out = c->n_components[m];
                    double *to = part ? im : re;
                    const double *shift = m ? NULL : c->shift;
                    switch (n) {
                    case 8: contract(raw, size, c->vectors[m], n_out, shift, to, stride, 8); break;
                    case 4: contract(raw, size, c->vectors[m], n_out, shift, to, stride, 4); break;
                    case 2: contract(raw, size, c->vectors[m], n_out, shift, to, stride, 2); break;
                    default: contract(raw, size, c->vectors[m], n_out, shift, to, stride, 1);
                    }
                    *(part ? &im : &re) += n_out * stride;
                    raw += BLOCK * size;
                }
        }
}

typedef struct {
    int64_t n_parts;
    const double *constants; /* [part] */
    const double *eta;       /* signs of rows seen from the other end [part], which follow the others; NULL: none do */
    int64_t n_L;
    const int64_t *L, *n_targets; /* of every L */
    const int64_t *place;         /* parts of M = -L ... L and all targets, one L after another */
    const double *sign;
} answers;

/* Adds weight (x + constant), turned back, to out[sample, 2L+1, target] of every L, which begin at some offsets; x
 * [part, row] are the sums of rows start ... stop - 1. */
FOR_THIS_CPU
void hamlearn_bond_blocks(const answers *a, const rows *r, int64_t start, int64_t stop, const double *sums,
                          int64_t stride, double *work, double *out, const int64_t *offsets)
{
    for (int64_t row = start; row < stop; row++) {
        for (int64_t p = 0; p < a->n_parts; p++) {
            const double *x = sums + p * stride + row - start;
            double value = a->eta ? (x[0] + a->eta[p] * x[stop - start]) * 0.70710678118654752440 : x[0];
            work[p] = r->weight[row] * (value + a->constants[p]);
        }
        const int64_t *place = a->place;
        const double *sign = a->sign;
        for (int64_t k = 0; k < a->n_L; k++) {
            int64_t width = 2 * a->L[k] + 1, n = a->n_targets[k];
            const double *turn = r->rotations[a->L[k]] + row * width * width;
            double *block = out + offsets[k] + r->sample[row] * width * n;
            for (int64_t m = 0; m < width; m++, turn += width, place += n, sign += n)
                for (int64_t i = 0; i < width; i++) {
                    double d = width > 1 ? turn[i] : 1.0;
                    for (int64_t t = 0; t < n; t++)
                        block[i * n + t] += d * sign[t] * work[place[t]];
                }
        }
    }
}

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_bonds", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__bonds(void) { return PyModule_Create(&module); }
