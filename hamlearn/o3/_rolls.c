/* Averages over O(2) of a function of the distance of two points, one of which is rolled and mirrored.
 *
 * Points are variables x_m with charges m >= 0, complex for m > 0. What is needed of two points are the scalar products
 * of all real and imaginary parts of each m: a roll by phi and a mirror enter afterwards, as a few cosines and sines.
 * Of rolls phi, -phi, pi + phi and pi - phi four partial sums (m even or odd, cosines or sines) give all distances.
 * Columns run in the innermost, contiguous index, a vector at a time. The file includes itself once for each precision.
 */
#ifndef REAL
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST_CHARGE = 12, MOST_ROLLS = 240, VECTOR_BYTES = 64 };

#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_THIS_CPU __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define FOR_THIS_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int64_t n_a, n_b;     /* rows and columns */
    int64_t max_m, max_M; /* largest charge of the variables, and of the averages */
    int64_t n_quarter;    /* a quarter of the number of rolls */
    int64_t is_gaussian;  /* exp(-d^2 / 2), or Matern 5/2 of d */
    const double *trig;   /* cos(m phi), sin(m phi) [angle 0 ... n_quarter, m, 2] */
    const int64_t *place; /* of 0 even, 0 odd, then rr, ri, ir, ii of every M > 0 among the planes of out; -1: none */
} plan;

#define REAL float
#define INTEGER int32_t
#define NAME(name) name##_float
#define MANTISSA 23
#define MAGIC 12582912.0f /* 1.5 * 2^23: rounds to integers */
#define LEAST -86.0f      /* exp of less is zero */
#define DEGREE 7
#define SQRT sqrtf
#include "_rolls.c"
#undef REAL
#undef INTEGER
#undef NAME
#undef MANTISSA
#undef MAGIC
#undef LEAST
#undef DEGREE
#undef SQRT

#define REAL double
#define INTEGER int64_t
#define NAME(name) name##_double
#define MANTISSA 52
#define MAGIC 6755399441055744.0 /* 1.5 * 2^52 */
#define LEAST -700.0
#define DEGREE 13
#define SQRT sqrt
#include "_rolls.c"

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rolls", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rolls(void) { return PyModule_Create(&module); }

#else

#define VEC NAME(vec)
#define INTS NAME(ints)
#define WIDTH ((int64_t)(VECTOR_BYTES / sizeof(REAL)))
typedef REAL VEC __attribute__((vector_size(VECTOR_BYTES)));
typedef INTEGER INTS __attribute__((vector_size(VECTOR_BYTES)));

INLINE VEC NAME(load)(const REAL *from, int64_t n)
{
    VEC out = {0};
    if (n >= WIDTH)
        memcpy(&out, from, sizeof(VEC));
    else
        memcpy(&out, from, sizeof(REAL) * n);
    return out;
}

/* exp(x) for x <= 0: 2^n by the bits of the exponent, times a polynomial of the rest */
INLINE VEC NAME(exp)(VEC x)
{
    INTS small = x < (REAL)LEAST;
    x = (VEC)((INTS)x & ~small);
    VEC t = x * (REAL)1.4426950408889634 + (REAL)MAGIC, n = t - (REAL)MAGIC;
    VEC r = (x - n * (REAL)0.693145751953125) - n * (REAL)1.42860682030941723e-6; /* ln 2, its first part exact */
    static const REAL inverse[] = {1.0, 1.0, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 6, 1.0 / 7,
                                   1.0 / 8, 1.0 / 9, 1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13};
    VEC p = {0};
    p += 1;
    for (int k = DEGREE; k > 0; k--)
        p = 1 + r * inverse[k] * p;
    return (VEC)(((INTS)p + ((INTS)t << MANTISSA)) & ~small);
}

/* The function of s = -d^2 / 2. */
INLINE VEC NAME(value)(VEC s, int64_t is_gaussian)
{
    s = (VEC)((INTS)s & (s < 0)); /* distances that rounding made imaginary are zero */
    if (is_gaussian)
        return NAME(exp)(s);
    VEC u = s * (REAL)-10.0;
    for (int k = 0; k < WIDTH; k++)
        u[k] = SQRT(u[k]);
    return (1 + u - s * (REAL)(10.0 / 3)) * NAME(exp)(-u);
}

/* Sums over all rolls of F cos(M phi) and F sin(M phi) from s = base + sum_m cos(m phi) re_m + sin(m phi) im_m. */
INLINE void NAME(average)(const plan *p, const REAL *angles, VEC base, const VEC *re, const VEC *im, VEC *cosine,
                          VEC *sine)
{
    int64_t most = p->max_m > p->max_M ? p->max_m : p->max_M;
    for (int64_t M = 0; M <= p->max_M; M++)
        cosine[M] = sine[M] = (VEC){0};
    for (int64_t k = 0; k <= p->n_quarter; k++) {
        const REAL *trig = angles + 2 * (most + 1) * k;
        VEC c[2] = {base, {0}}, s[2] = {{0}, {0}};
        for (int64_t m = 1; m <= p->max_m; m++) {
            c[m & 1] += re[m] * trig[2 * m];
            s[m & 1] += im[m] * trig[2 * m + 1];
        }
        VEC f[4] = {NAME(value)(c[0] + c[1] + s[0] + s[1], p->is_gaussian), {0}, {0}, {0}}; /* phi */
        if (k > 0)
            f[1] = NAME(value)(c[0] + c[1] - s[0] - s[1], p->is_gaussian); /* -phi */
        if (k < p->n_quarter)
            f[2] = NAME(value)(c[0] - c[1] + s[0] - s[1], p->is_gaussian); /* pi + phi */
        if (k > 0 && k < p->n_quarter)
            f[3] = NAME(value)(c[0] - c[1] - s[0] + s[1], p->is_gaussian); /* pi - phi */
        VEC sum[2] = {f[0] + f[1], f[2] + f[3]}, difference[2] = {f[0] - f[1], f[2] - f[3]};
        for (int64_t M = 0; M <= p->max_M; M++) {
            VEC a = M & 1 ? sum[0] - sum[1] : sum[0] + sum[1];
            VEC b = M & 1 ? difference[0] - difference[1] : difference[0] + difference[1];
            cosine[M] += a * trig[2 * M];
            sine[M] += b * trig[2 * M + 1];
        }
    }
}

INLINE void NAME(store)(REAL *out, const plan *p, int64_t which, int64_t cell, VEC value, int64_t n)
{
    if (p->place[which] >= 0)
        memcpy(out + p->place[which] * p->n_a * p->n_b + cell, &value, sizeof(REAL) * n);
}

/* table: scalar products [a, b] at m = 0, then for every m > 0 those of (re, re), (im, re), (re, im), (im, im) of a and
 * b; norms: half of the squared norms; out: planes [plane, a, b]. */
FOR_THIS_CPU
void NAME(hamlearn_rolls)(const plan *p, const REAL *table, const REAL *norm_a, const REAL *norm_b, REAL *out)
{
    int64_t n_a = p->n_a, n_b = p->n_b, plane = n_a * n_b;
    REAL unit = (REAL)(1.0 / (8.0 * p->n_quarter)); /* half of one over the number of rolls */
    REAL angles[2 * (MOST_CHARGE + 1) * (MOST_ROLLS / 4 + 1)];
    int64_t n_angles = 2 * ((p->max_m > p->max_M ? p->max_m : p->max_M) + 1) * (p->n_quarter + 1);
    for (int64_t k = 0; k < n_angles; k++)
        angles[k] = (REAL)p->trig[k];
    for (int64_t a = 0; a < n_a; a++)
        for (int64_t b = 0; b < n_b; b += WIDTH) {
            int64_t cell = a * n_b + b, n = n_b - b < WIDTH ? n_b - b : WIDTH;
            VEC re[2][MOST_CHARGE + 1], im[2][MOST_CHARGE + 1], cosine[2][MOST_CHARGE + 1], sine[2][MOST_CHARGE + 1];
            VEC base = NAME(load)(table + cell, n) - NAME(load)(norm_b + b, n) - norm_a[a];
            for (int64_t m = 1; m <= p->max_m; m++) {
                const REAL *own = table + (4 * m - 3) * plane + cell;
                VEC rr = NAME(load)(own, n), ir = NAME(load)(own + plane, n);
                VEC ri = NAME(load)(own + 2 * plane, n), ii = NAME(load)(own + 3 * plane, n);
                re[0][m] = rr + ii, im[0][m] = ir - ri;
                re[1][m] = rr - ii, im[1][m] = ir + ri; /* b mirrored */
            }
            for (int k = 0; k < 2; k++)
                NAME(average)(p, angles, base, re[k], im[k], cosine[k], sine[k]);
            for (int64_t M = 0; M <= p->max_M; M++) {
                VEC plus = (cosine[0][M] + cosine[1][M]) * unit, minus = (cosine[0][M] - cosine[1][M]) * unit;
                int64_t first = M ? 4 * M - 2 : 0;
                NAME(store)(out, p, first, cell, plus, n);
                NAME(store)(out, p, M ? first + 3 : 1, cell, minus, n);
                if (M) {
                    NAME(store)(out, p, first + 1, cell, (sine[1][M] - sine[0][M]) * unit, n);
                    NAME(store)(out, p, first + 2, cell, (sine[1][M] + sine[0][M]) * unit, n);
                }
            }
        }
}
#undef VEC
#undef INTS
#undef WIDTH
#endif
