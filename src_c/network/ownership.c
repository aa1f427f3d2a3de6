/* Who owns what of the parameters: the split, and the walk over it. */
#include "ownership.h"

grc_region grc_region_of(size_t rows, size_t panels, int t, int count)
{
    GRC_ASSERT(0 <= t && t < count);
    if (count == 1)
        return (grc_region){0, rows, 0, panels}; /* small networks notice the divisions below */
    const size_t all = (size_t)count, mine = (size_t)t;
    const size_t chunks = (rows + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
    /* The largest share decides, compared as a fraction of the whole. */
    const size_t panel_share = (panels + all - 1) / all * chunks, row_share = (chunks + all - 1) / all * panels;
    if (panel_share <= row_share) {
        const size_t first = panels * mine / all, last = panels * (mine + 1) / all;
        return (grc_region){0, rows, first, last - first};
    }
    const size_t first = chunks * mine / all * GRC_CHUNK_ROWS, last = chunks * (mine + 1) / all * GRC_CHUNK_ROWS;
    return (grc_region){first, grc_min(last, rows) - first, 0, panels};
}

grc_region grc_own(const gradcore_network *n, int index, int t, int count)
{
    const grc_parameter *p = &n->parameters[index];
    const size_t panels = grc_panels(n, grc_stored_cols(p));
    if (p->ndim == 1)
        return p->op % count == t ? (grc_region){0, 1, 0, panels} : (grc_region){0, 0, 0, 0};
    const grc_region r = grc_region_of(grc_stored_rows(p), panels, t, count);
    return r.rows && r.panels ? r : (grc_region){0, 0, 0, 0};
}

size_t grc_chunks_of(const gradcore_network *n, const grc_parameter *p)
{
    if (p->ndim == 1)
        return 1;
    return grc_panels(n, grc_stored_cols(p)) * ((grc_stored_rows(p) + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS);
}

size_t grc_chunk_count(const gradcore_network *n)
{
    size_t count = 0;
    for (int i = 0; i < n->parameter_count; i++)
        count += grc_chunks_of(n, &n->parameters[i]);
    return count;
}

void grc_each_owned_piece(const gradcore_network *n, int t, int count, grc_piece_fn *visit, void *context)
{
    const size_t pw = n->kernels->panel;
    for (int i = 0; i < n->parameter_count; i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, t, count);
        const size_t down = grc_stored_rows(p);
        if (!p->trainable || !r.rows)
            continue;
        if (r.rows == down) {
            const grc_piece whole = {i, p->offset + r.panel * down * pw, r.panels * down * pw, 0};
            visit(context, &whole);
            continue;
        }
        for (size_t panel = r.panel; panel < r.panel + r.panels; panel++) {
            const grc_piece part = {i, p->offset + (panel * down + r.row) * pw, r.rows * pw, 0};
            visit(context, &part);
        }
    }
}

void grc_each_owned_chunk(const gradcore_network *n, int t, int count, grc_piece_fn *visit, void *context)
{
    const size_t pw = n->kernels->panel;
    size_t first = 0; /* the parameter's first chunk */
    for (int i = 0; i < n->parameter_count; first += grc_chunks_of(n, &n->parameters[i]), i++) {
        const grc_parameter *p = &n->parameters[i];
        const grc_region r = grc_own(n, i, t, count);
        const size_t down = grc_stored_rows(p), chunks = (down + GRC_CHUNK_ROWS - 1) / GRC_CHUNK_ROWS;
        if (!p->trainable || !r.rows)
            continue;
        if (p->ndim == 1) {
            const grc_piece whole = {i, p->offset, r.panels * pw, first};
            visit(context, &whole);
            continue;
        }
        for (size_t panel = r.panel; panel < r.panel + r.panels; panel++)
            for (size_t row = r.row; row < r.row + r.rows; row += GRC_CHUNK_ROWS) {
                const grc_piece part = {i, p->offset + (panel * down + row) * pw,
                                        grc_min(GRC_CHUNK_ROWS, r.row + r.rows - row) * pw,
                                        first + panel * chunks + row / GRC_CHUNK_ROWS};
                visit(context, &part);
            }
    }
}
