/* io_uring: many sends in one system call (Linux 6.1 and newer, where the kernel lets us), for send.c. The same as
   gateway/io_uring.py, whose words say what is promised; a call costs 2 us less here, so it pays from few members on.

   A send never waits (MSG_DONTWAIT): all answers are there when the call returns. */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__linux__) && __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#define HAS_RING 1
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif
#else
#define HAS_RING 0
#endif

enum { RING_ENTRIES = 512, RING_TRIES = 100 };

static enum { RING_UNTRIED, RING_OPEN, RING_NONE } ring_state = RING_UNTRIED;

#if HAS_RING

static int ring_descriptor;
static unsigned *requests_tail, *answers_head, *answers_tail, answers_mask;
static struct io_uring_sqe *requests;
static struct io_uring_cqe *answers;

/* A forked process has the memory of its parent's ring, and must not touch it. */
static void
forget_ring(void)
{
    ring_state = RING_UNTRIED;
}

static int
map_ring(const struct io_uring_params *params)
{
    size_t size = params->sq_off.array + params->sq_entries * sizeof(unsigned);
    size_t answers_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    size = size < answers_size ? answers_size : size;
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    char *rings = mmap(NULL, size, protection, flags, ring_descriptor, IORING_OFF_SQ_RING);
    if (rings == MAP_FAILED) {
        return -1;
    }
    requests = mmap(
        NULL, params->sq_entries * sizeof(struct io_uring_sqe), protection, flags, ring_descriptor, IORING_OFF_SQES);
    if (requests == MAP_FAILED) {
        munmap(rings, size);
        return -1;
    }
    requests_tail = (unsigned *)(rings + params->sq_off.tail);
    answers_head = (unsigned *)(rings + params->cq_off.head);
    answers_tail = (unsigned *)(rings + params->cq_off.tail);
    answers_mask = *(unsigned *)(rings + params->cq_off.ring_mask);
    answers = (struct io_uring_cqe *)(rings + params->cq_off.cqes);
    unsigned *places = (unsigned *)(rings + params->sq_off.array);
    for (unsigned place = 0; place < params->sq_entries; place++) {
        places[place] = place; /* request n is always in place n */
    }
    return 0;
}

/* Whether there is a ring, which is made when it is first wanted. */
static int
has_ring(void)
{
    if (ring_state == RING_UNTRIED) {
        static int is_watched;
        struct io_uring_params params;
        memset(&params, 0, sizeof params);
        params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
        ring_state = RING_NONE;
        ring_descriptor = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &params);
        if (ring_descriptor >= 0 && map_ring(&params) == 0) {
            ring_state = RING_OPEN;
        }
        else if (ring_descriptor >= 0) {
            close(ring_descriptor);
        }
        if (!is_watched) {
            is_watched = pthread_atfork(NULL, NULL, forget_ring) == 0;
        }
    }
    return ring_state == RING_OPEN;
}

/* Puts a send of that number into the ring: the `count`th of the next call. */
static void
put_send(unsigned count, int descriptor, const char *data, size_t size, uint64_t number)
{
    struct io_uring_sqe *request = &requests[(*requests_tail + count) % RING_ENTRIES];
    memset(request, 0, sizeof *request);
    request->opcode = IORING_OP_SEND;
    request->fd = descriptor;
    request->addr = (uint64_t)(uintptr_t)data;
    request->len = (unsigned)size;
    request->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    request->user_data = number;
}

/* Has `count` sends done, and writes to sent[number] what each socket took. Where the kernel takes no more requests, as
   from another thread, there is no ring from now on; what it did not do has sent nothing. */
static void
send_by_ring(unsigned count, Py_ssize_t *sent)
{
    unsigned left = count, tries = 0;
    *requests_tail += count; /* read by the kernel in the call below, in this thread */
    while (left > 0) {
        long done = syscall(SYS_io_uring_enter, ring_descriptor, left, left, IORING_ENTER_GETEVENTS, NULL, 0);
        int is_passing = errno == EINTR || errno == EAGAIN || errno == EBUSY;
        if (done < 0 && (!is_passing || ++tries == RING_TRIES)) {
            ring_state = RING_NONE;
            close(ring_descriptor);
            break;
        }
        left -= done > 0 ? (unsigned)done : 0;
    }
    unsigned head = *answers_head, tail = __atomic_load_n(answers_tail, __ATOMIC_ACQUIRE);
    while (head != tail) {
        const struct io_uring_cqe *answer = &answers[head++ & answers_mask];
        sent[answer->user_data] = answer->res > 0 ? answer->res : 0;
    }
    __atomic_store_n(answers_head, head, __ATOMIC_RELEASE);
}

#else

static int
has_ring(void)
{
    return 0;
}

static void
put_send(unsigned count, int descriptor, const char *data, size_t size, uint64_t number)
{
}

static void
send_by_ring(unsigned count, Py_ssize_t *sent)
{
}

#endif
