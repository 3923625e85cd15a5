/* activation(conv + bias + residual): the vector mathematics, for the last store of any kernel and for the steps.
   A NaN stays one. Errors are a few units in the last place; values below the smallest normal number become 0. */
#ifndef FC_EPILOGUE_H
#define FC_EPILOGUE_H
#include "vector.h"
#include <stddef.h>

enum { /* the order of ACTIVATIONS in algorithms/base.py */
    FC_NONE, FC_RELU, FC_RELU6, FC_LEAKY_RELU, FC_SILU, FC_HARDSWISH, FC_GELU, FC_SIGMOID, FC_TANH
};

#ifdef FC_DOUBLE
#define FC_ROUNDER 6755399441055744.0 /* 1.5 * 2^52: what is added to it is rounded to an integer */
#define FC_LN2_HIGH 6.93145751953125e-1
#define FC_LN2_LOW 1.42860682030941723212e-6
#define FC_LOWEST -708.0
#define FC_MANTISSA 52
#define FC_BIAS 1023
#define FC_UPPER_HALF -0x8000000LL /* of a mantissa */
#define FC_ERFC_CENTRE 3.75
#define FC_FARTHEST 38.0
static const real fc_exp[] = { /* (exp(r) - 1 - r) / r^2 for |r| < ln(2) / 2: Taylor */
    1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800,
    1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0
};
static const real fc_erfc[] = {
    1.2375126308378275, -0.14024059858554666, 0.0035854154854640255, 0.08227673849011126, -0.10880393014172599,
    0.09230432116155088, -0.0586933985900156, 0.028362277400275623, -0.009746579556660783, 0.00175562601747722,
    0.0002937136866697864, -0.000290154959763873, 5.164883593850731e-05, 2.238721562254353e-05, -1.1442811976244923e-05,
    -9.800172141516269e-07, 1.7478824385269808e-06, -4.842872943552784e-08, -2.524700289647785e-07,
    1.6250793211083987e-08, 3.2854613978498315e-08, -9.76418557556311e-10, -2.4443868097632503e-09
};
#else
#define FC_ROUNDER 12582912.0f
#define FC_LN2_HIGH 0.693359375f
#define FC_LN2_LOW -2.12194440e-4f
#define FC_LOWEST -87.0f
#define FC_MANTISSA 23
#define FC_BIAS 127
#define FC_UPPER_HALF -0x1000
#define FC_ERFC_CENTRE 2.0f
#define FC_FARTHEST 14.0f
static const real fc_exp[] = { /* Cephes, expf */
    5.0000001201e-1f, 1.6666665459e-1f, 4.1665795894e-2f, 8.3334519073e-3f, 1.3981999507e-3f, 1.9875691500e-4f
};
static const real fc_erfc[] = {
    1.27697838f, -0.0927639492f, -0.16603042f, 0.164054921f, -0.0542142665f, -0.00806082511f, 0.00866425515f,
    0.00132779028f, -0.00126411949f, -0.000424122529f
};
#endif
#define FC_POLYNOMIAL(v, u, table)                                                                       \
    vec v = vset(table[sizeof table / sizeof *table - 1]);                                               \
    FC_UNROLL for (int i_ = (int)(sizeof table / sizeof *table) - 2; i_ >= 0; i_--) v = v * u + table[i_]

FC_INLINE vec fc_select(ivec which, vec a, vec b) { return (vec)((which & (ivec)a) | (~which & (ivec)b)); }
FC_INLINE vec fc_no_less(vec x, real a) { return vmax(vset(a), x); } /* NaN stays */
FC_INLINE vec fc_no_more(vec x, real a) { return vmin(vset(a), x); }
FC_INLINE vec fc_negative(vec x) { return (vec)((ivec)x | (ivec)vset((real)-0.0)); } /* -|x| */
FC_INLINE vec fc_magnitude(vec x) { return -fc_negative(x); }

/* exp(x + rest) - 1 of x <= 0 and a tiny rest; *scale + that is exp(x + rest) - 1 + *scale: see the two callers */
FC_INLINE vec fc_exp_parts(vec x, vec rest, vec *scale) {
    vec at_least = fc_no_less(x, FC_LOWEST);
    vec shifted = at_least * (real)1.44269504088896341 + FC_ROUNDER, n = shifted - FC_ROUNDER;
    vec r = rest + ((at_least - n * (real)FC_LN2_HIGH) - n * (real)FC_LN2_LOW);
    FC_POLYNOMIAL(p, r, fc_exp);
    ivec exponent = (ivec)shifted - (ivec)vset(FC_ROUNDER) + FC_BIAS;
    *scale = fc_select((ivec)(x < vset(FC_LOWEST)), vzero(), (vec)(exponent << FC_MANTISSA));
    return r + r * r * p;
}
FC_INLINE vec fc_exp_of(vec x, vec rest) { /* x <= 0 */
    vec scale, more = fc_exp_parts(x, rest, &scale);
    return scale + scale * more;
}
FC_INLINE vec fc_sigmoid(vec x) {
    vec t = fc_exp_of(fc_negative(x), vset((real)-0.0));
    return fc_select((ivec)(x < vzero()), t, vset(1)) / (t + (real)1);
}
FC_INLINE vec fc_tanh(vec x) { /* (1 - t) / (1 + t), t = exp(-2 |x|), by way of t - 1 */
    vec scale, more = fc_exp_parts(fc_negative(x) * (real)2, vset((real)-0.0), &scale);
    vec less = (scale - (real)1) + scale * more, y = less / (less + (real)2);
    return fc_select((ivec)(x < vzero()), y, -y);
}
/* Phi(x), the distribution function of the standard normal; Phi(-z) = erfc(z / sqrt 2) / 2; erfc(z) exp(z^2) (1 + 2 z) is a polynomial of (z - c) / (z + c): Shepherd
   and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf" (Math. Comp. 1981) */
FC_INLINE vec fc_normal(vec x) {
    vec a = fc_no_more(fc_magnitude(x), FC_FARTHEST), z = a * (real)0.70710678118654752440;
    vec high = (vec)((ivec)a & (FC_UPPER_HALF + (ivec){0})); /* its square is exact */
    vec u = (z - (real)FC_ERFC_CENTRE) / (z + (real)FC_ERFC_CENTRE);
    FC_POLYNOMIAL(p, u, fc_erfc);
    vec tail = fc_exp_of(high * high * (real)-0.5, (a - high) * (a + high) * (real)-0.5) * p / (z * 4 + (real)2);
    return fc_select((ivec)(x < vzero()), tail, (real)1 - tail);
}

FC_INLINE vec fc_activate(vec x, int code) { /* constant code: one of them; NaN is never less or more */
    switch (code) {
    case FC_RELU: return fc_no_less(x, 0);
    case FC_RELU6: return fc_no_more(fc_no_less(x, 0), 6);
    case FC_LEAKY_RELU: return fc_select((ivec)(x < vzero()), x * (real)0.01, x);
    case FC_SILU: return x * fc_sigmoid(x);
    case FC_HARDSWISH: return x * fc_no_more(fc_no_less(x + (real)3, 0), 6) / (real)6;
    case FC_GELU: return x * fc_normal(x);
    case FC_SIGMOID: return fc_sigmoid(x);
    case FC_TANH: return fc_tanh(x);
    default: return x;
    }
}

/* t / (1 + t)^2, t = exp(-|x|): the logistic function's derivative, without the cancellation of s (1 - s) */
FC_INLINE vec fc_logistic_slope(vec x) {
    vec t = fc_exp_of(fc_negative(x), vset((real)-0.0)), u = t + (real)1;
    return t / (u * u);
}
FC_INLINE vec fc_slope(vec x, int code) { /* constant code: the derivative of fc_activate */
    vec s, one = vset(1);
    switch (code) {
    case FC_RELU: return fc_select((ivec)(x > vzero()), one, vzero());
    case FC_RELU6: return fc_select((ivec)(x > vzero()) & (ivec)(x < vset(6)), one, vzero());
    case FC_LEAKY_RELU: return fc_select((ivec)(x > vzero()), one, vset((real)0.01));
    case FC_SILU: s = fc_sigmoid(x); return s + x * fc_logistic_slope(x);
    case FC_HARDSWISH:
        s = fc_select((ivec)(x > vset(-3)), x / (real)3 + (real)0.5, vzero());
        return fc_select((ivec)(x < vset(3)), s, one);
    case FC_GELU:
        s = fc_no_more(fc_magnitude(x), FC_FARTHEST);
        return fc_normal(x) + x * fc_exp_of(s * s * (real)-0.5, vset((real)-0.0)) * (real)0.39894228040143267794;
    case FC_SIGMOID: return fc_logistic_slope(x);
    case FC_TANH: return fc_logistic_slope(x * (real)2) * (real)4;
    default: return one;
    }
}

/* Numbers [first, last): y = activation(x), or with dy y = dy * its derivative at x */
FC_INLINE void fc_numbers_of(int code, const real *x, const real *dy, real *y, ptrdiff_t first, ptrdiff_t last) {
    for (ptrdiff_t j = first; j < last; j += LANES) {
        int k = last - j < LANES ? (int)(last - j) : LANES;
        vec v = k == LANES ? vload(x + j) : vload_part(x + j, k);
        if (!dy) v = fc_activate(v, code);
        else {
            vec d = k == LANES ? vload(dy + j) : vload_part(dy + j, k);
            v = d * fc_slope(v, code);
        }
        if (k == LANES) vstore(y + j, v);
        else vstore_part(y + j, v, k);
    }
}
#define FC_NUMBERS_CASE(code)                                     \
    case code:                                                    \
        if (dy) fc_numbers_of(code, x, dy, y, first, last);       \
        else fc_numbers_of(code, x, NULL, y, first, last);        \
        break;
static void fc_numbers(int code, const real *x, const real *dy, real *y, ptrdiff_t first, ptrdiff_t last) {
    switch (code) {
        FC_NUMBERS_CASE(FC_NONE) FC_NUMBERS_CASE(FC_RELU) FC_NUMBERS_CASE(FC_RELU6) FC_NUMBERS_CASE(FC_LEAKY_RELU)
        FC_NUMBERS_CASE(FC_SILU) FC_NUMBERS_CASE(FC_HARDSWISH) FC_NUMBERS_CASE(FC_GELU) FC_NUMBERS_CASE(FC_SIGMOID)
        FC_NUMBERS_CASE(FC_TANH)
    }
}

/* Rows of n numbers, `pitch` apart: activation alone */
FC_INLINE void fc_activate_rows_of(int code, real *y, ptrdiff_t rows, ptrdiff_t pitch, ptrdiff_t n) {
    ptrdiff_t whole = n / LANES * LANES;
    for (; rows > 0; rows--, y += pitch) {
        for (ptrdiff_t j = 0; j < whole; j += LANES) vstore(y + j, fc_activate(vload(y + j), code));
        if (whole < n) vstore_part(y + whole, fc_activate(vload_part(y + whole, (int)(n - whole)), code), (int)(n - whole));
    }
}
#define FC_ROWS_CASE(code) \
    case code: fc_activate_rows_of(code, y, rows, pitch, n); break;
static void fc_activate_rows(int code, real *y, ptrdiff_t rows, ptrdiff_t pitch, ptrdiff_t n) {
    switch (code) {
        FC_ROWS_CASE(FC_RELU) FC_ROWS_CASE(FC_RELU6) FC_ROWS_CASE(FC_LEAKY_RELU) FC_ROWS_CASE(FC_SILU)
        FC_ROWS_CASE(FC_HARDSWISH) FC_ROWS_CASE(FC_GELU) FC_ROWS_CASE(FC_SIGMOID) FC_ROWS_CASE(FC_TANH)
    }
}

/* Rows [first, last) of n numbers: bias of each number (per_number) or of each row modulo `period`; either may be NULL */
FC_INLINE void fc_epilogue_rows_of(int code, real *y, const real *bias, const real *residual, ptrdiff_t first,
                                   ptrdiff_t last, ptrdiff_t n, ptrdiff_t period, int per_number) {
    for (ptrdiff_t row = first; row < last; row++) {
        real *p = y + row * n;
        const real *q = residual ? residual + row * n : NULL;
        vec b = vset(bias && !per_number ? bias[row % period] : 0);
        for (ptrdiff_t j = 0; j < n; j += LANES) {
            int k = n - j < LANES ? (int)(n - j) : LANES;
            vec v = k == LANES ? vload(p + j) : vload_part(p + j, k);
            if (bias) v += !per_number ? b : k == LANES ? vload(bias + j) : vload_part(bias + j, k);
            if (q) v += k == LANES ? vload(q + j) : vload_part(q + j, k);
            v = fc_activate(v, code);
            if (k == LANES) vstore(p + j, v);
            else vstore_part(p + j, v, k);
        }
    }
}
#define FC_EPILOGUE_CASE(code) \
    case code: fc_epilogue_rows_of(code, y, bias, residual, first, last, n, period, per_number); break;
static void fc_epilogue_rows(int code, real *y, const real *bias, const real *residual, ptrdiff_t first, ptrdiff_t last,
                             ptrdiff_t n, ptrdiff_t period, int per_number) {
    switch (code) {
        FC_EPILOGUE_CASE(FC_NONE) FC_EPILOGUE_CASE(FC_RELU) FC_EPILOGUE_CASE(FC_RELU6)
        FC_EPILOGUE_CASE(FC_LEAKY_RELU) FC_EPILOGUE_CASE(FC_SILU) FC_EPILOGUE_CASE(FC_HARDSWISH)
        FC_EPILOGUE_CASE(FC_GELU) FC_EPILOGUE_CASE(FC_SIGMOID) FC_EPILOGUE_CASE(FC_TANH)
    }
}
#endif
