/* What the rows of tables.h say, by name and by number.
 *
 * Words. A *family* is one of the tables: activation, loss, optimizer, layer. A *slot* is a vector of an
 * optimizer's state; its *start* is what it holds before the first update. An optimizer *measures* when it looks at
 * whole arrays before it changes any. Hyperparameters are the numbers of a step, in the columns of gradcore.h. */
#ifndef GRC_REGISTRY_H
#define GRC_REGISTRY_H

#include "base.h"
#include "tables.h"

/* The index-th name of a family, or NULL; a property of a name as text, or NULL. */
const char *grc_list(const char *family, int32_t index);
const char *grc_describe(const char *family, const char *name, const char *property);
#define GRC_NAMES_LENGTH 400
/* "relu, tanh, ..." of a family into text, for messages about unknown names. */
const char *grc_names(const char *family, char *text, size_t size);

/* ---- activations ---- */

int grc_find_activation(const char *name); /* GRC_NONE: there is none, here and below */
enum grc_saves grc_saves_of(int activation); /* what its backward needs */
double grc_default_alpha(int activation);
double grc_lowest_alpha(int activation);

/* ---- losses ---- */

int grc_find_loss(const char *name);
int grc_loss_classifies(int loss);
const char *grc_loss_target(int loss); /* "values", "labels" or "halves"; NULL for no loss */
const char *grc_loss_vector(int loss); /* the name of its vector option, "" for none */
typedef struct grc_loss_parameter {
    const char *name;
    double value; /* where none is given; NaN: none */
    enum grc_range range;
} grc_loss_parameter;
const grc_loss_parameter *grc_loss_parameters(int loss); /* in order, ended by one without a name */

/* ---- optimizers ---- */

int grc_find_optimizer(const char *name);
enum grc_opt_kind grc_optimizer_kind(int optimizer);
int grc_measures(int optimizer); /* TENSOR or TOTAL */
unsigned grc_optimizer_slots(int optimizer, uint32_t flags); /* bit i: state slot i is in use */
enum grc_start { GRC_START_ZERO, GRC_START_INITIAL, GRC_START_RATE, GRC_START_WEIGHTS, GRC_START_LIVE };
enum grc_start grc_slot_start(int optimizer, int slot); /* LIVE: see tables.h */
int grc_slot_has_floor(int optimizer, int slot); /* an update makes it more than 0 in padding, too */
int grc_find_slot(int optimizer, enum grc_start start); /* the first one that starts so, or GRC_NONE */
double grc_slot_value(int optimizer, int slot, const double *own, double lr); /* INITIAL, RATE: the start */
/* Are these the hyperparameters of a step that cannot by itself make finite numbers infinite? */
grc_status grc_check_hypers(int optimizer, int dtype, int clipped, const double *h, gradcore_error *error);

#endif
