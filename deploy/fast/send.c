/* One message to many sockets in one call, for gateway/rooms/send_directly.py; only in the fast build.

   send_to_all(sockets, data, is_ring_allowed) writes `data` to every socket: by io_uring (ring.h) where it may and can,
   else by one system call each. A socket is a tuple: its descriptor, and three methods of
   its transport: is_closing, get_write_buffer_size and write. The transport is asked in this very call, right before
   its descriptor is used: one that has closed may belong to somebody else by now. Where the transport is closing, where
   something waits in it, or where the kernel does not take all, `write` gets the rest, as it would have got everything:
   so order, write-buffer marks and errors stay the transport's.

   Nothing but `write` can run other code: lists and tuples are held for as long as they are read. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "ring.h"

enum { DESCRIPTOR, IS_CLOSING, BUFFERED, WRITE, FIELDS };

/* Whether the transport of a socket is open and has nothing waiting: 1, 0, or -1 with an exception. */
static int
is_free(PyObject *transport_socket)
{
    PyObject *closing = PyObject_CallNoArgs(PyTuple_GET_ITEM(transport_socket, IS_CLOSING));
    if (closing == NULL) {
        return -1;
    }
    int is_closing = PyObject_IsTrue(closing);
    Py_DECREF(closing);
    if (is_closing != 0) {
        return is_closing < 0 ? -1 : 0;
    }
    PyObject *buffered = PyObject_CallNoArgs(PyTuple_GET_ITEM(transport_socket, BUFFERED));
    if (buffered == NULL) {
        return -1;
    }
    int is_waiting = PyObject_IsTrue(buffered);
    Py_DECREF(buffered);
    return is_waiting < 0 ? -1 : !is_waiting;
}

/* What the kernel takes at once; 0 for any error, which the transport will meet and handle itself. */
static Py_ssize_t
sent_at_once(PyObject *transport_socket, PyObject *data)
{
    long descriptor = PyLong_AsLong(PyTuple_GET_ITEM(transport_socket, DESCRIPTOR));
    if (descriptor == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_ssize_t sent = send(
        (int)descriptor, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data), MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? 0 : sent;
}

/* Gives the transport what was not sent; 0, or -1 with an exception. Nothing was sent: the very same bytes, so that all
   who are slow share them. */
static int
write_rest(PyObject *transport_socket, PyObject *data, Py_ssize_t sent)
{
    PyObject *rest =
        sent == 0 ? Py_NewRef(data)
                  : PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + sent, PyBytes_GET_SIZE(data) - sent);
    if (rest == NULL) {
        return -1;
    }
    PyObject *written = PyObject_CallOneArg(PyTuple_GET_ITEM(transport_socket, WRITE), rest);
    Py_DECREF(rest);
    Py_XDECREF(written);
    return written == NULL ? -1 : 0;
}

static int
is_socket(PyObject *transport_socket)
{
    if (PyTuple_CheckExact(transport_socket) && PyTuple_GET_SIZE(transport_socket) == FIELDS) {
        return 1;
    }
    PyErr_SetString(PyExc_TypeError, "a socket is a tuple of a descriptor and three methods");
    return 0;
}

static int
send_to_one(PyObject *transport_socket, PyObject *data)
{
    if (!is_socket(transport_socket)) {
        return -1;
    }
    int is_direct = is_free(transport_socket);
    if (is_direct < 0) {
        return -1;
    }
    Py_ssize_t sent = is_direct ? sent_at_once(transport_socket, data) : 0;
    if (sent < 0 || sent == PyBytes_GET_SIZE(data)) {
        return sent < 0 ? -1 : 0;
    }
    return write_rest(transport_socket, data, sent);
}

static int
send_one_by_one(PyObject *sockets, PyObject *data)
{
    int failed = 0;
    for (Py_ssize_t place = 0; !failed && place < PyTuple_GET_SIZE(sockets); place++) {
        failed = send_to_one(PyTuple_GET_ITEM(sockets, place), data);
    }
    return failed;
}

/* Puts those of some sockets that are free into the ring; how many, or -1 with an exception. */
static int
put_free(PyObject *sockets, Py_ssize_t first, Py_ssize_t end, PyObject *data)
{
    int count = 0;
    for (Py_ssize_t place = first; place < end; place++) {
        PyObject *transport_socket = PyTuple_GET_ITEM(sockets, place);
        int is_direct = is_socket(transport_socket) ? is_free(transport_socket) : -1;
        if (is_direct > 0) {
            long descriptor = PyLong_AsLong(PyTuple_GET_ITEM(transport_socket, DESCRIPTOR));
            if (descriptor != -1 || !PyErr_Occurred()) {
                put_send((unsigned)count++, (int)descriptor, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data),
                         (uint64_t)(place - first));
                continue;
            }
            is_direct = -1;
        }
        if (is_direct < 0) {
            return -1;
        }
    }
    return count;
}

/* As many at a time as the ring holds: first all sends, then what may run other code, by which transports may close. */
static int
send_in_rounds(PyObject *sockets, PyObject *data)
{
    static Py_ssize_t sent[RING_ENTRIES];
    Py_ssize_t all = PyTuple_GET_SIZE(sockets), size = PyBytes_GET_SIZE(data);
    int failed = 0;
    for (Py_ssize_t first = 0; !failed && first < all; first += RING_ENTRIES) {
        Py_ssize_t end = first + RING_ENTRIES < all ? first + RING_ENTRIES : all;
        int count = has_ring() ? put_free(sockets, first, end, data) : 0;
        memset(sent, 0, sizeof sent);
        if (count > 0) {
            send_by_ring((unsigned)count, sent);
        }
        failed = count < 0;
        Py_ssize_t unsent[RING_ENTRIES], left = 0;
        for (Py_ssize_t place = first; place < end; place++) {
            if (sent[place - first] < size) {
                unsent[left++] = place;
            }
        }
        Py_ssize_t taken[RING_ENTRIES];
        for (Py_ssize_t each = 0; each < left; each++) {
            taken[each] = sent[unsent[each] - first]; /* `write` may come here again */
        }
        for (Py_ssize_t each = 0; !failed && each < left; each++) {
            failed = write_rest(PyTuple_GET_ITEM(sockets, unsent[each]), data, taken[each]);
        }
    }
    return failed;
}

static PyObject *
send_to_all(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3 || !PyList_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "send_to_all takes a list of sockets, bytes, and whether io_uring may be used");
        return NULL;
    }
    PyObject *sockets = PyList_AsTuple(arguments[0]), *data = Py_NewRef(arguments[1]);
    int is_by_ring = sockets != NULL ? PyObject_IsTrue(arguments[2]) : -1;
    int failed = is_by_ring < 0;
    if (!failed && PyBytes_GET_SIZE(data) > 0) {
        failed = is_by_ring && has_ring() ? send_in_rounds(sockets, data) : send_one_by_one(sockets, data);
    }
    Py_XDECREF(sockets);
    Py_DECREF(data);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"send_to_all", (PyCFunction)(void (*)(void))send_to_all, METH_FASTCALL,
     "Writes bytes to the sockets of a list, each (descriptor, is_closing, get_write_buffer_size, write); by io_uring, "
     "if it may be used."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "gateway.rooms._send", "One message to many sockets in one call.", -1, methods,
};

PyMODINIT_FUNC
PyInit__send(void)
{
    return PyModule_Create(&definition);
}
