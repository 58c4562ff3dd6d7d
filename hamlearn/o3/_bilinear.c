/* Bilinear maps out[o] = sum_t c_t a[i_t] b[j_t] with a fixed sparse table, for many columns ("pairs") at once.
 *
 * This is the arithmetic of the Wigner iteration: the table holds products of Clebsch-Gordan coefficients, a column is
 * one pair of environments. Columns run in the innermost, contiguous index, WIDTH at a time, so that every term is a
 * few vector instructions. Terms of one output that share i_t come in twos where possible: c a b + d a b' costs one
 * load and one multiplication less.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef double vec __attribute__((vector_size(32)));
enum { WIDTH = 16, VECS = WIDTH / 4 };

typedef struct { double c, d; int32_t i, j, k, unused; } two_terms; /* a[i] (c b[j] + d b[k]) */
typedef struct { double c; int32_t i, j; } one_term;                /* c a[i] b[j] */
typedef struct { const double *data; int64_t rows, row_stride, column_stride; } matrix;

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_CPU __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FOR_THIS_CPU
#endif

static void load_columns(const matrix *m, int64_t first, int64_t n, double *to)
{
    for (int64_t r = 0; r < m->rows; r++) {
        const double *from = m->data + r * m->row_stride + first * m->column_stride;
        if (n == WIDTH && m->column_stride == 1)
            memcpy(to + r * WIDTH, from, sizeof(double) * WIDTH);
        else
            for (int64_t p = 0; p < WIDTH; p++)
                to[r * WIDTH + p] = p < n ? from[p * m->column_stride] : 0.0;
    }
}

/* out[o, p] for columns first <= p < last; work holds (a.rows + b.rows) * WIDTH doubles, 64-byte aligned.
 * Terms of output o are twos[two_start[o]:two_start[o + 1]] and ones[one_start[o]:one_start[o + 1]]. */
FOR_THIS_CPU
void hamlearn_bilinear(int64_t first, int64_t last, int64_t n_out, const int64_t *two_start, const two_terms *twos,
                       const int64_t *one_start, const one_term *ones, const matrix *a, const matrix *b, double *out,
                       int64_t out_row_stride, double *work)
{
    int square = a->data == b->data && a->rows == b->rows && a->row_stride == b->row_stride &&
                 a->column_stride == b->column_stride;
    vec *at = (vec *)work, *bt = square ? at : at + VECS * a->rows;
    for (int64_t column = first; column < last; column += WIDTH) {
        int64_t n = last - column < WIDTH ? last - column : WIDTH;
        load_columns(a, column, n, (double *)at);
        if (!square)
            load_columns(b, column, n, (double *)bt);
        for (int64_t o = 0; o < n_out; o++) {
            vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (const two_terms *t = twos + two_start[o]; t < twos + two_start[o + 1]; t++) {
                const vec *x = at + VECS * t->i, *y = bt + VECS * t->j, *z = bt + VECS * t->k;
                double c = t->c, d = t->d;
                s0 += x[0] * (c * y[0] + d * z[0]);
                s1 += x[1] * (c * y[1] + d * z[1]);
                s2 += x[2] * (c * y[2] + d * z[2]);
                s3 += x[3] * (c * y[3] + d * z[3]);
            }
            for (const one_term *t = ones + one_start[o]; t < ones + one_start[o + 1]; t++) {
                const vec *x = at + VECS * t->i, *y = bt + VECS * t->j;
                double c = t->c;
                s0 += (c * x[0]) * y[0];
                s1 += (c * x[1]) * y[1];
                s2 += (c * x[2]) * y[2];
                s3 += (c * x[3]) * y[3];
            }
            vec sums[VECS] = {s0, s1, s2, s3};
            memcpy(out + o * out_row_stride + column, sums, sizeof(double) * n);
        }
    }
}

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_bilinear", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__bilinear(void) { return PyModule_Create(&module); }
