/* Products on tiles, for split.h, which includes this once with intrinsics and once with arrays in their place.
   nt <= 32 rows x nv blocks of 16 columns; tiles 0, 1: sums, 2, 3: rows, 4: columns. Whole tiles are loaded: up to 31
   rows behind the last are read (never used), which the caller's memory must have. */
SPLIT_TARGET static void SPLIT_NAME(int nt, int nv, const bf16 *x, const bf16 *w, index_t wv, const index_t *s, index_t n,
                              const split_target *d) {
    SPLIT_DECLARE
    real sums[32][16] __attribute__((aligned(64)));
    __asm__ volatile("" ::: "memory"); /* what tiles load is in memory by now */
    for (int j = 0; j < nv; j++, w += wv) {
        index_t at = -1, from = -1; /* neighbouring steps share their rows or their columns */
        SPLIT_ZERO(0);
        SPLIT_ZERO(1);
        for (index_t i = 0; i < n; i++) {
            index_t p = s[3 * i], f = s[3 * i + 1];
            if (f != from) SPLIT_LOAD(4, w + f);
            if (p != at) SPLIT_LOAD(2, x + p);
            SPLIT_PRODUCT(0, 2, 4);
            if (nt > 16) {
                if (p != at) SPLIT_LOAD(3, x + p + 16 * 32);
                SPLIT_PRODUCT(1, 3, 4);
            }
            at = p;
            from = f;
        }
        SPLIT_STORE(0, sums[0]);
        SPLIT_STORE(1, sums[16]);
        real *out = d->out + j * (16 / LANES) * d->mh;
        index_t column = d->first;
        for (int t = 0; t < nt; t++) {
            if (column < d->count)
                for (int o = 0; o < 16; o += LANES) {
                    real *y = out + column * d->mt + o / LANES * d->mh;
                    vec v = vload(sums[t] + o);
                    if (d->add) v += vload(y);
                    vstore(y, v);
                }
            if (++column == d->wide) {
                column = 0;
                out += d->next;
            }
        }
    }
}
#undef SPLIT_TARGET
#undef SPLIT_NAME
#undef SPLIT_DECLARE
#undef SPLIT_ZERO
#undef SPLIT_LOAD
#undef SPLIT_PRODUCT
#undef SPLIT_STORE
