/* One message to many sockets in one call, for gateway/rooms/send_directly.py; only in the fast build.

   send_to_all(sockets, data) writes `data` to every socket. A socket is a tuple: its descriptor, and three methods of
   its transport: is_closing, get_write_buffer_size and write. The transport is asked in this very call, right before
   its descriptor is used: one that has closed may belong to somebody else by now. Where the transport is closing, where
   something waits in it, or where the kernel does not take all, `write` gets the rest, as it would have got everything:
   so order, write-buffer marks and errors stay the transport's.

   Nothing but `write` can run other code: lists and tuples are held for as long as they are read. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <sys/socket.h>

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
send_to_one(PyObject *transport_socket, PyObject *data)
{
    if (!PyTuple_CheckExact(transport_socket) || PyTuple_GET_SIZE(transport_socket) != FIELDS) {
        PyErr_SetString(PyExc_TypeError, "a socket is a tuple of a descriptor and three methods");
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

static PyObject *
send_to_all(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 2 || !PyList_CheckExact(arguments[0]) || !PyBytes_CheckExact(arguments[1])) {
        PyErr_SetString(PyExc_TypeError, "send_to_all takes a list of sockets, and bytes");
        return NULL;
    }
    PyObject *sockets = Py_NewRef(arguments[0]), *data = Py_NewRef(arguments[1]);
    int failed = 0;
    for (Py_ssize_t place = 0; !failed && place < PyList_GET_SIZE(sockets); place++) {
        PyObject *transport_socket = Py_NewRef(PyList_GET_ITEM(sockets, place));
        failed = send_to_one(transport_socket, data);
        Py_DECREF(transport_socket);
    }
    Py_DECREF(sockets);
    Py_DECREF(data);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"send_to_all", (PyCFunction)(void (*)(void))send_to_all, METH_FASTCALL,
     "Writes bytes to the sockets of a list, each (descriptor, is_closing, get_write_buffer_size, write)."},
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
