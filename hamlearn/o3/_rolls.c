/* Averages over O(2) of a function of the distance of two points, one of which is rolled and mirrored.
 *
 * Points are variables x_m with charges m >= 0, complex for m > 0. What is needed of two points are the scalar products
 * of all real and imaginary parts of each m: a roll by phi and a mirror enter afterwards, as a few cosines and sines.
 * Of rolls phi, -phi, pi + phi and pi - phi four partial sums (m even or odd, cosines or sines) give all distances.
 * Points b run in the innermost, contiguous index, a vector at a time; those of a tile of 64 bytes stay in the cache
 * while all points a pass. The file includes itself for every width of vectors, and then for both precisions.
 */
#ifndef BYTES

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

enum { MOST_CHARGE = 12, MOST_ROLLS = 240, TILE_BYTES = 64 };

typedef struct {
    int64_t n_a, n_b;          /* rows and columns */
    int64_t max_m, max_M;      /* largest charge of the variables, and of the averages */
    int64_t n_quarter;         /* a quarter of the number of rolls */
    int64_t is_gaussian;       /* exp(-d^2 / 2), or Matern 5/2 of d */
    const double *trig;        /* cos(m phi), sin(m phi) [angle 0 ... n_quarter, m, 2] */
    const int64_t *place;      /* of 0 even, 0 odd, then rr, ri, ir, ii of every M > 0 among the planes; -1: none */
    const int64_t *n;          /* how many variables there are, by m */
    const void *const (*a)[2]; /* real and imaginary parts, by m [row, variable] */
    const void *b;             /* tiles [tile, m, variable, part, row of the tile], what is behind the last row is 0 */
    const void *norm_a, *norm_b; /* half of the squared norms [row] */
    int64_t n_sums;            /* where no planes are wanted but sums over b: how many in all */
    const int64_t *n_outputs;  /* of 0 even, 0 odd and every M > 0 */
    const void *weights;       /* one after another [output, part, b] */
    void *sums;                /* [a, output and part, row of a tile], to be added up */
} plan;

#define JOIN(name, real, bytes) name##_##real##_##bytes
#define EXPAND(name, real, bytes) JOIN(name, real, bytes)
#define NAMED(name) EXPAND(name, REAL, BYTES)
#define INLINED TARGET static inline __attribute__((always_inline))

#define BYTES 16
#define TARGET
#include "_rolls.c"
#undef BYTES
#undef TARGET
#if defined(__x86_64__) && defined(__GNUC__)
#define BYTES 32
#define TARGET __attribute__((target("avx2,fma")))
#include "_rolls.c"
#undef BYTES
#undef TARGET
#define BYTES 64
#define TARGET __attribute__((target("avx512f,avx512vl,avx512dq,fma")))
#include "_rolls.c"
#define HAS(bytes) \
    (bytes == 64 ? __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && \
                       __builtin_cpu_supports("avx512dq") \
                 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#define WIDEST(real) \
    (widest >= 64 && HAS(64) ? rolls_##real##_64 : widest >= 32 && HAS(32) ? rolls_##real##_32 : rolls_##real##_16)
#else
#define WIDEST(real) rolls_##real##_16
#endif

/* Averages out [plane, a, b], or sums where out is NULL. Vectors have 64 bytes, or the most that the processor and widest allow. */
void hamlearn_rolls_float(int64_t widest, const plan *p, float *out) { WIDEST(float)(p, out); }

void hamlearn_rolls_double(int64_t widest, const plan *p, double *out) { WIDEST(double)(p, out); }

/* The functions are called through ctypes, which releases the interpreter lock; the module itself is empty. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rolls", NULL, 0, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rolls(void) { return PyModule_Create(&module); }

#elif !defined(REAL)

#define REAL float
#include "_rolls.c"
#undef REAL
#define REAL double
#include "_rolls.c"
#undef REAL

#else

#define VEC NAMED(vec)
#define INTS NAMED(ints)
#define IS_FLOAT (sizeof(REAL) == sizeof(float))
#define LANES ((int64_t)(BYTES / sizeof(REAL)))
#define TILE ((int64_t)(TILE_BYTES / sizeof(REAL)))
#define ROWS (BYTES == 64 ? 4 : 2) /* of a at once, as many as there are registers for */
typedef REAL VEC __attribute__((vector_size(BYTES)));
typedef __typeof__((VEC){0} < (VEC){0}) INTS;

INLINED VEC NAMED(load)(const REAL *from, int64_t n)
{
    VEC out = {0};
    if (n >= LANES)
        memcpy(&out, from, sizeof(VEC));
    else
        memcpy(&out, from, sizeof(REAL) * n);
    return out;
}

/* 2^x for x <= 0: the whole part by the bits of the exponent, times the Chebyshev series of 2^r, -1/2 < r < 1/2, which is
 * good to 3e-9 for float and to 4e-18 for double. */
INLINED VEC NAMED(power_of_two)(VEC x)
{
    static const REAL seven[] = {1.5469731977475548e-4, 1.3400432165385696e-3, 9.618025602955237e-3,
                                 5.550327214209201e-2,  0.2402265121359523,    0.6931472067106199,
                                 0.9999999999595483};
    static const REAL twelve[] = {4.45667546363986e-10,  7.074194562613105e-9,  1.0178051192117847e-7,
                                  1.3215432534254118e-6, 1.5252733856295573e-5, 1.5403530463727982e-4,
                                  1.333355814639035e-3,  9.618129107587253e-3,  5.55041086648217e-2,
                                  0.24022650695910158,   0.6931471805599453,    1.0};
    const REAL *c = IS_FLOAT ? seven : twelve, magic = IS_FLOAT ? 12582912.0 : 6755399441055744.0; /* rounds */
    VEC t = x + magic, r = x - (t - magic), p = r * c[0] + c[1];
    for (int k = 2; k < (IS_FLOAT ? 7 : 12); k++)
        p = p * r + c[k];
    return (VEC)(((INTS)p + ((INTS)t << (IS_FLOAT ? 23 : 52))) & ~(x < (REAL)(IS_FLOAT ? -125 : -1020)));
}

/* The function of s = -d^2 / 2. */
INLINED VEC NAMED(value)(VEC s, int64_t is_gaussian)
{
    const REAL log2e = (REAL)1.4426950408889634074, ln2 = (REAL)0.69314718055994530942;
    s = (VEC)((INTS)s & (s < 0)); /* distances that rounding made imaginary are zero */
    if (is_gaussian)
        return NAMED(power_of_two)(s * log2e);
    VEC v = s * (-10 * log2e * log2e); /* v^2, exp(-u) = 2^-v */
    for (int k = 0; k < LANES; k++)
        v[k] = IS_FLOAT ? sqrtf(v[k]) : sqrt(v[k]);
    return (1 + v * ln2 - s * (REAL)(10.0 / 3)) * NAMED(power_of_two)(-v);
}

/* Sums over all rolls of F cos(M phi) and F sin(M phi) from s = base + sum_m cos(m phi) re_m + sin(m phi) im_m. */
INLINED void NAMED(average)(const plan *p, const REAL *angles, VEC base, const VEC *re, const VEC *im, VEC *cosine,
                            VEC *sine, const int64_t is_gaussian)
{
    int64_t most = p->max_m > p->max_M ? p->max_m : p->max_M;
    VEC whole = {0};
    for (int64_t M = 1; M <= p->max_M; M++)
        cosine[M] = sine[M] = (VEC){0};
    for (int64_t k = 0; k <= p->n_quarter; k++) {
        const REAL *trig = angles + 2 * (most + 1) * k;
        VEC c0 = base, c1 = {0}, s0 = {0}, s1 = {0};
        for (int64_t m = 1; m <= p->max_m; m += 2) {
            c1 += re[m] * trig[2 * m];
            s1 += im[m] * trig[2 * m + 1];
        }
        for (int64_t m = 2; m <= p->max_m; m += 2) {
            c0 += re[m] * trig[2 * m];
            s0 += im[m] * trig[2 * m + 1];
        }
        VEC cp = c0 + c1, cm = c0 - c1, sp = s0 + s1, sm = s0 - s1;
        VEC f[4] = {{0}, {0}, {0}, {0}}; /* phi, -phi, pi + phi, pi - phi */
        if (k > 0 && k < p->n_quarter) {
            f[0] = NAMED(value)(cp + sp, is_gaussian), f[1] = NAMED(value)(cp - sp, is_gaussian);
            f[2] = NAMED(value)(cm + sm, is_gaussian), f[3] = NAMED(value)(cm - sm, is_gaussian);
        } else {
            f[0] = NAMED(value)(cp + sp, is_gaussian);
            f[k ? 1 : 2] = NAMED(value)(k ? cp - sp : cm + sm, is_gaussian);
        }
        VEC c_phi = f[0] + f[1], c_pi = f[2] + f[3], s_phi = f[0] - f[1], s_pi = f[2] - f[3];
        whole += c_phi + c_pi;
        for (int64_t M = 1; M <= p->max_M; M++) {
            cosine[M] += (M & 1 ? c_phi - c_pi : c_phi + c_pi) * trig[2 * M];
            sine[M] += (M & 1 ? s_phi - s_pi : s_phi + s_pi) * trig[2 * M + 1];
        }
    }
    cosine[0] = whole, sine[0] = (VEC){0};
}

/* Scalar products of R points a with a vector of points b: at m = 0 dots[0], of m > 0 (re, re), (im, re), (re, im) and
 * (im, im) of a and b at dots[4 m ...], each of all R. */
INLINED void NAMED(dots)(const plan *p, int64_t row, const REAL *b, VEC (*dots)[ROWS], const int R)
{
    for (int64_t m = 0; m <= p->max_m; m++) {
        int64_t n = p->n[m];
        const REAL *re = (const REAL *)p->a[m][0] + row * n, *im = (const REAL *)p->a[m][1] + row * n;
        VEC sums[4][ROWS];
        for (int k = 0; k < 4; k++)
            for (int r = 0; r < R; r++)
                sums[k][r] = (VEC){0};
        if (m == 0)
            for (int64_t k = 0; k < n; k++, b += TILE) {
                VEC x = NAMED(load)(b, LANES);
                for (int r = 0; r < R; r++)
                    sums[0][r] += re[r * n + k] * x;
            }
        else
            for (int64_t k = 0; k < n; k++, b += 2 * TILE) {
                VEC x = NAMED(load)(b, LANES), y = NAMED(load)(b + TILE, LANES);
                for (int r = 0; r < R; r++) {
                    sums[0][r] += re[r * n + k] * x;
                    sums[1][r] += im[r * n + k] * x;
                    sums[2][r] += re[r * n + k] * y;
                    sums[3][r] += im[r * n + k] * y;
                }
            }
        for (int k = 0; k < (m ? 4 : 1); k++)
            for (int r = 0; r < R; r++)
                dots[4 * m + k][r] = sums[k][r];
    }
}

INLINED void NAMED(store)(REAL *out, const plan *p, int64_t which, int64_t cell, VEC value, int64_t n)
{
    if (p->place[which] < 0)
        return;
    REAL *to = out + p->place[which] * p->n_a * p->n_b + cell;
    if (n >= LANES)
        memcpy(to, &value, sizeof(VEC));
    else
        memcpy(to, &value, sizeof(REAL) * n);
}

/* Adds the products of planes, of one or of all four parts, with weights of some points b to the sums of a point a. */
INLINED void NAMED(add)(const plan *p, int64_t which, const VEC *planes, const int parts, int64_t column,
                        const REAL **weights, REAL **sums)
{
    int64_t n = p->n_b - column;
    for (int64_t o = 0; o < p->n_outputs[which]; o++, *weights += parts * p->n_b, *sums += parts * TILE) {
        VEC w = NAMED(load)(*weights + column, n), v = NAMED(load)(*weights + (parts - 1) * p->n_b + column, n);
        for (int part = 0; part < parts; part++) {
            VEC sum = NAMED(load)(*sums + part * TILE, LANES) + planes[2 * part] * w;
            sum = parts == 2 ? sum + planes[2 * part + 1] * v : sum;
            memcpy(*sums + part * TILE, &sum, sizeof(VEC));
        }
    }
}

/* Averages of one point a and a vector of points b, from their scalar products; planes or sums. */
INLINED void NAMED(cell)(const plan *p, const REAL *angles, int64_t row, int64_t column, VEC (*dots)[ROWS], int r,
                         REAL *out, const int64_t is_gaussian)
{
    int64_t n = p->n_b - column, cell = row * p->n_b + column;
    const REAL *weights = p->weights; /* of the sums, which are the other thing that may be wanted */
    REAL *sums = (REAL *)p->sums + row * p->n_sums * TILE + column % TILE;
    REAL unit = (REAL)(1.0 / (8.0 * p->n_quarter)); /* half of one over the number of rolls */
    VEC re[2][MOST_CHARGE + 1], im[2][MOST_CHARGE + 1], cosine[2][MOST_CHARGE + 1], sine[2][MOST_CHARGE + 1];
    VEC base = dots[0][r] - NAMED(load)((const REAL *)p->norm_b + column, n) - ((const REAL *)p->norm_a)[row];
    for (int64_t m = 1; m <= p->max_m; m++) {
        VEC rr = dots[4 * m][r], ir = dots[4 * m + 1][r], ri = dots[4 * m + 2][r], ii = dots[4 * m + 3][r];
        re[0][m] = rr + ii, im[0][m] = ir - ri;
        re[1][m] = rr - ii, im[1][m] = ir + ri; /* b mirrored */
    }
    for (int k = 0; k < 2; k++)
        NAMED(average)(p, angles, base, re[k], im[k], cosine[k], sine[k], is_gaussian);
    for (int64_t M = 0; M <= p->max_M; M++) {
        VEC plus = (cosine[0][M] + cosine[1][M]) * unit, minus = (cosine[0][M] - cosine[1][M]) * unit;
        int64_t first = M ? 4 * M - 2 : 0;
        VEC four[4] = {plus, (sine[1][M] - sine[0][M]) * unit, (sine[1][M] + sine[0][M]) * unit, minus};
        if (out) {
            for (int k = 0; k < 4; k++)
                if (M || k == 0 || k == 3)
                    NAMED(store)(out, p, M || !k ? first + k : 1, cell, four[k], n);
        } else if (M)
            NAMED(add)(p, M + 1, four, 2, column, &weights, &sums);
        else {
            NAMED(add)(p, 0, &plus, 1, column, &weights, &sums);
            NAMED(add)(p, 1, &minus, 1, column, &weights, &sums);
        }
    }
}

TARGET static void NAMED(rolls)(const plan *p, REAL *out)
{
    REAL angles[2 * (MOST_CHARGE + 1) * (MOST_ROLLS / 4 + 1)];
    int64_t most = p->max_m > p->max_M ? p->max_m : p->max_M, size = p->n[0];
    int64_t n_angles = 2 * (most + 1) * (p->n_quarter + 1);
    for (int64_t k = 0; k < n_angles; k++)
        angles[k] = (REAL)p->trig[k];
    for (int64_t m = 1; m <= p->max_m; m++)
        size += 2 * p->n[m];
    for (int64_t column = 0; column < p->n_b; column += LANES) {
        const REAL *b = (const REAL *)p->b + column / TILE * size * TILE + column % TILE;
        for (int64_t row = 0, rows; row < p->n_a; row += rows) {
            VEC dots[4 * (MOST_CHARGE + 1)][ROWS];
            rows = p->n_a - row >= ROWS ? ROWS : 1;
            if (rows == ROWS)
                NAMED(dots)(p, row, b, dots, ROWS);
            else
                NAMED(dots)(p, row, b, dots, 1);
            for (int r = 0; r < rows; r++)
                if (p->is_gaussian)
                    NAMED(cell)(p, angles, row + r, column, dots, r, out, 1);
                else
                    NAMED(cell)(p, angles, row + r, column, dots, r, out, 0);
        }
    }
}

#undef VEC
#undef INTS
#undef IS_FLOAT
#undef LANES
#undef TILE
#undef ROWS
#endif
