/* Who owns what of the parameters.
 *
 * Words. A *chunk* is the unit of gradient work and of norms: up to GRC_CHUNK_ROWS rows of one panel of a matrix, or a
 * whole vector. A *region* is what one thread owns of a parameter: whole chunks. A *piece* of it is contiguous. */
#ifndef GRC_OWNERSHIP_H
#define GRC_OWNERSHIP_H

#include "network.h"

#define GRC_CHUNK_ROWS 64

typedef struct grc_region {
    size_t row, rows, panel, panels;
} grc_region;

/* What thread `t` of `count` owns of a (rows, panels) matrix: a split in whole chunks. */
grc_region grc_region_of(size_t rows, size_t panels, int t, int count);
/* The same of parameter `index`: matrices are split, vectors go round. Nothing: rows and panels are 0. */
grc_region grc_own(const gradcore_network *n, int index, int t, int count);

/* The one walk over what thread t owns of the trainable parameters, in their order: by contiguous pieces, as long as
 * they are, or by chunks, of which `chunk` counts all of the network's. Offsets are those of the parameter vector. */
typedef struct grc_piece {
    int parameter;
    size_t offset, size, chunk;
} grc_piece;
typedef void grc_piece_fn(void *context, const grc_piece *piece);
void grc_each_owned_piece(const gradcore_network *n, int t, int count, grc_piece_fn *visit, void *context);
void grc_each_owned_chunk(const gradcore_network *n, int t, int count, grc_piece_fn *visit, void *context);

/* Chunks of a parameter, and of all of them. */
size_t grc_chunks_of(const gradcore_network *n, const grc_parameter *p);
size_t grc_chunk_count(const gradcore_network *n);

#endif
