/* Who may use a trainer: one caller at a time. */
#include "trainer.h"

/* Whoever looked has left the pass as it was then: gradients half made, inputs where they lay. */
static void take_over(gradcore_trainer *trainer)
{
    grc_place_input(trainer->plan, NULL, 0);
    trainer->plan->view.only = 0;
    trainer->plan->version = UINT64_MAX;
    trainer->has_gradients = 0;
    trainer->tuner = (grc_tuner){0};
}

static grc_status enter(gradcore_trainer *trainer, enum grc_use use, gradcore_error *error)
{
    if (!trainer)
        return grc_fail(error, GRADCORE_INVALID, "trainer: expected a trainer, got NULL");
    const enum grc_taken taken = grc_lock_take(&trainer->lock, use);
    if (taken == GRC_TAKEN_BY_OTHERS)
        return grc_busy(error, "trainer");
    if (taken == GRC_TAKEN_OVER)
        take_over(trainer);
    if (!grc_lock_is_torn(&trainer->lock))
        return GRADCORE_OK;
    grc_trainer_leave(trainer);
    return grc_fail(error, GRADCORE_STATE,
                    "trainer: expected a whole state, got half of a step: this process was forked while another thread "
                    "of its parent trained; make the trainer anew, or load it from a file");
}

grc_status grc_trainer_enter(gradcore_trainer *trainer, gradcore_error *error)
{
    return enter(trainer, GRC_CHANGING, error);
}

grc_status grc_trainer_look(gradcore_trainer *trainer, gradcore_error *error)
{
    return enter(trainer, GRC_KEEPING, error);
}

void grc_trainer_leave(gradcore_trainer *trainer)
{
    grc_lock_drop(&trainer->lock, GRC_CHANGING);
}

int grc_make_room_to_show(gradcore_trainer *trainer)
{
    if (!trainer->shown)
        trainer->shown = grc_allocate(&trainer->net->allocator, trainer->net->vector * trainer->net->item);
    return trainer->shown != NULL;
}
