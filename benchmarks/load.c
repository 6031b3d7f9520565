/*
 * The load generator: one thread, one epoll, as little work per request as possible, so that the server under
 * test is what is measured.  Same modes, arguments and output as load.py, which stands in where no compiler is.
 *
 *     load MODE PORT CONNECTIONS SECONDS WARMUP
 *
 * echo, tls-echo        every connection sends 64 bytes, waits for them to come back, and, when all have had their first
 *                       answer, sends again and again
 * connect, tls-connect  every connection is opened, does one echo, is closed and is opened anew
 * idle, tls-idle        opens the connections, one echo each, prints {"ready": n}, holds them until stdin ends
 * download              asks once, reads until the server closes, compares with the pattern of files.py, and again
 *
 * The first WARMUP seconds after the last connection has had its first answer are not counted.  Every byte that
 * comes back is compared.  The last line on stdout is one JSON object; "errors" must be 0 for it to mean anything;
 * "shortest" is the number of bytes of the shortest download, "load_cpu" how much of a core this process used.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef WITH_TLS
#include <openssl/ssl.h>
#endif
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum { PAYLOAD = 64, EVENTS = 512, OPENING_AT_ONCE = 256, CHUNK = 1 << 20 };
/* Nanoseconds that requests still under way when time is up may take before they count as lost. */
static const uint64_t GRACE = 5000000000ull;

enum state { CLOSED, CONNECTING, HANDSHAKING, WAITING, HELD_BACK, IDLE };

struct connection {
    int fd, got;
    enum state state;
    uint64_t started, request, received;
    unsigned char out[PAYLOAD], in[PAYLOAD];
#ifdef WITH_TLS
    SSL *ssl;
#endif
};

static struct {
    int reconnect, idle, download, tls;
    int epoll, port, count, opened, answered, busy;
    int measuring, stopping;
    double seconds, warmup;
    uint64_t begin, end;
    unsigned long errors, completed;
    uint64_t shortest;
    uint32_t *latencies;
    size_t samples, room;
    char first_error[160];
    unsigned char *chunk;
    struct connection *connections;
} run;

#ifdef WITH_TLS
static SSL_CTX *tls_context;
#endif

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void fatal(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void hang_up(struct connection *c)
{
#ifdef WITH_TLS
    if (c->ssl) {
        SSL_shutdown(c->ssl);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
#endif
    close(c->fd);
    c->state = CLOSED;
}

/* One error makes the figures worthless, so the others finish what is under way and the run ends. */
static void failed(struct connection *c, const char *what)
{
    run.stopping = 1;
    if (!run.end)
        run.end = now();
    if (!run.errors++)
        snprintf(run.first_error, sizeof run.first_error, "%s (%s)", what, errno ? strerror(errno) : "no error number");
    if (c->state != IDLE && c->state != HELD_BACK)
        run.busy--;
    hang_up(c);
}

/* Each source address has its own ports, so that connections in TIME_WAIT do not use them up. */
static void bind_source(int fd)
{
    static unsigned turn;
    int one = 1;
    struct sockaddr_in source = { .sin_family = AF_INET };
    source.sin_addr.s_addr = htonl(0x7f000002u + turn++ % 250);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&source, sizeof source))
        fatal("bind");
}

static void open_connection(struct connection *c)
{
    struct sockaddr_in server = { .sin_family = AF_INET, .sin_port = htons((uint16_t)run.port) };
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    int one = 1;

    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fatal("socket");
    bind_source(c->fd);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    c->started = now();
    run.busy++;
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS) {
        failed(c, "connect");
        return;
    }
    if (epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &event))
        fatal("epoll_ctl");
}

static ssize_t transport_read(struct connection *c, void *buffer, size_t length)
{
#ifdef WITH_TLS
    if (c->ssl) {
        int n = SSL_read(c->ssl, buffer, (int)length);
        if (n > 0)
            return n;
        errno = SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : ECONNRESET;
        return -1;
    }
#endif
    return read(c->fd, buffer, length);
}

static ssize_t transport_write(struct connection *c, const void *buffer, size_t length)
{
#ifdef WITH_TLS
    if (c->ssl)
        return SSL_write(c->ssl, buffer, (int)length);
#endif
    return send(c->fd, buffer, length, MSG_NOSIGNAL);
}

/* No two requests of one connection are alike: a late or doubled answer is not taken for the right one. */
static void send_request(struct connection *c)
{
    uint64_t stamp[2] = { (uint64_t)(c - run.connections), c->request++ };
    memset(c->out, 'e', PAYLOAD);
    memcpy(c->out + 8, stamp, sizeof stamp);
    c->got = 0;
    c->state = WAITING;
    if (!run.reconnect)
        c->started = now();
    if (transport_write(c, c->out, PAYLOAD) != PAYLOAD)
        failed(c, "short or failed send");
}

static void record(uint64_t nanoseconds)
{
    if (run.samples == run.room) {
        run.room = run.room ? run.room * 2 : 1 << 16;
        run.latencies = realloc(run.latencies, run.room * sizeof *run.latencies);
        if (!run.latencies)
            fatal("realloc");
    }
    run.latencies[run.samples++] = nanoseconds > UINT32_MAX ? UINT32_MAX : (uint32_t)nanoseconds;
}

/* Once everybody has been answered: warm up, then count. */
static void first_answer(uint64_t time)
{
    if (++run.answered < run.count || run.idle)
        return;
    run.begin = time + (uint64_t)(run.warmup * 1e9);
    run.end = run.begin + (uint64_t)(run.seconds * 1e9);
    for (int i = 0; i < run.count; i++)
        if (run.connections[i].state == HELD_BACK) {
            run.busy++;
            send_request(&run.connections[i]);
        }
}

static void open_next(void)
{
    if (run.opened < run.count && !run.stopping)
        open_connection(&run.connections[run.opened++]);
}

static void completed(struct connection *c)
{
    uint64_t time = now();
    if (run.begin && time >= run.begin && time < run.end) {
        run.completed++;
        record(time - c->started);
    }
    if (run.end && time >= run.end)
        run.stopping = 1;
    int first = c->request == 1;
    if (run.idle || run.stopping)
        run.busy--;
    if (run.idle)
        c->state = IDLE;
    else if (run.stopping)
        hang_up(c);
    else if (run.reconnect) {
        hang_up(c);
        run.busy--;
        open_connection(c);
    } else if (run.begin)
        send_request(c);
    else {
        /* Some servers accept one connection per turn of their loop: the open ones must not make its turns long. */
        run.busy--;
        c->state = HELD_BACK;
    }
    if (first) {
        first_answer(time);
        open_next();
    }
}

static void read_echo(struct connection *c)
{
    ssize_t n = transport_read(c, c->in + c->got, (size_t)(PAYLOAD - c->got));
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        errno = n ? errno : 0;
        failed(c, n ? "read" : "closed by the server");
        return;
    }
    c->got += (int)n;
    if (c->got < PAYLOAD)
        read_echo(c);
    else if (memcmp(c->in, c->out, PAYLOAD)) {
        errno = 0;
        failed(c, "the echo differs from what was sent");
    } else
        completed(c);
}

/* The file repeats the bytes 0..250, a prime number of them: a lost or doubled block shows at once. */
static int pattern_holds(uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i += 4093)
        if (run.chunk[i] != (offset + i) % 251)
            return 0;
    return run.chunk[length - 1] == (offset + length - 1) % 251;
}

static void read_download(struct connection *c)
{
    for (;;) {
        ssize_t n = read(c->fd, run.chunk, CHUNK);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 || (n > 0 && !pattern_holds(c->received, (size_t)n))) {
            failed(c, n < 0 ? "read" : "the file differs from what was sent");
            return;
        }
        if (n == 0)
            break;
        c->received += (uint64_t)n;
    }
    if (!run.shortest || c->received < run.shortest)
        run.shortest = c->received;
    c->received = 0;
    completed(c);
}

static void handshake(struct connection *c)
{
#ifdef WITH_TLS
    int n = SSL_do_handshake(c->ssl);
    if (n == 1)
        send_request(c);
    else if (SSL_get_error(c->ssl, n) != SSL_ERROR_WANT_READ)
        failed(c, "handshake");
#else
    failed(c, "built without TLS");
#endif
}

static void connected(struct connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error) {
        errno = error;
        failed(c, "connect");
        return;
    }
#ifdef WITH_TLS
    if (run.tls) {
        c->ssl = SSL_new(tls_context);
        SSL_set_fd(c->ssl, c->fd);
        SSL_set_connect_state(c->ssl);
        c->state = HANDSHAKING;
        handshake(c);
        return;
    }
#endif
    send_request(c);
}

static int silent(const struct connection *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* What came together with the answer may have been read with it and be told of once more: an event proves nothing. */
static void check_silence(struct connection *c)
{
    if (!silent(c))
        failed(c, "a connection became readable without having asked");
}

static void ready(struct connection *c)
{
    switch (c->state) {
    case CONNECTING: connected(c); break;
    case HANDSHAKING: handshake(c); break;
    case WAITING: run.download ? read_download(c) : read_echo(c); break;
    case HELD_BACK:
    case IDLE: check_silence(c); break;
    case CLOSED: break;
    }
}

static void loop(void)
{
    struct epoll_event events[EVENTS];
    while (run.busy > 0) {
        int n = epoll_wait(run.epoll, events, EVENTS, 1000);
        if (n < 0 && errno != EINTR)
            fatal("epoll_wait");
        for (int i = 0; i < n; i++)
            ready(events[i].data.ptr);
        if (run.end && now() > run.end + GRACE) {
            fprintf(stderr, "load: %d requests were never answered\n", run.busy);
            exit(1);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double milliseconds_at(double share)
{
    return run.samples ? run.latencies[(size_t)(share * (double)(run.samples - 1))] / 1e6 : 0;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void report(double elapsed)
{
    qsort(run.latencies, run.samples, sizeof *run.latencies, by_value);
    printf("{\"rate\": %.3f, \"p50\": %.4f, \"p99\": %.4f, \"worst\": %.4f, \"completed\": %lu, \"shortest\": %lu, "
           "\"errors\": %lu, \"first_error\": \"%s\", \"load_cpu\": %.3f}\n",
        (double)run.completed / run.seconds, milliseconds_at(0.5), milliseconds_at(0.99),
        milliseconds_at(1), run.completed, (unsigned long)run.shortest, run.errors, run.first_error, cpu_seconds() / elapsed);
}

/* Holds the idle connections until stdin ends, then looks whether each is still open and silent. */
static void hold(void)
{
    char byte;
    printf("{\"ready\": %d, \"errors\": %lu, \"first_error\": \"%s\"}\n", run.answered, run.errors, run.first_error);
    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
    for (int i = 0; i < run.count; i++) {
        struct connection *c = &run.connections[i];
        if (c->state != IDLE || !silent(c))
            run.errors++;
    }
    printf("{\"errors\": %lu, \"first_error\": \"%s\"}\n", run.errors, run.first_error);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#ifdef WITH_TLS
/* The client's own work is kept small: whose certificate it is does not matter here. */
static int trust_anybody(X509_STORE_CTX *store, void *nothing)
{
    (void)store;
    (void)nothing;
    return 1;
}
#endif

static void prepare_tls(void)
{
#ifdef WITH_TLS
    tls_context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_cert_verify_callback(tls_context, trust_anybody, NULL);
    SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
#else
    fprintf(stderr, "load: built without TLS\n");
    exit(1);
#endif
}

static void parse(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: load echo|connect|idle|tls-echo|tls-connect|tls-idle|download PORT CONNECTIONS SECONDS WARMUP\n");
        exit(2);
    }
    run.tls = !strncmp(argv[1], "tls-", 4);
    run.download = !strcmp(argv[1], "download");
    run.idle = strstr(argv[1], "idle") != NULL;
    run.reconnect = run.download || strstr(argv[1], "connect") != NULL;
    run.port = atoi(argv[2]);
    run.count = atoi(argv[3]);
    run.seconds = atof(argv[4]);
    run.warmup = atof(argv[5]);
}

int main(int argc, char **argv)
{
    uint64_t start = now();
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    if (run.tls)
        prepare_tls();
    run.chunk = malloc(CHUNK);
    run.connections = calloc((size_t)run.count, sizeof *run.connections);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!run.chunk || !run.connections || run.epoll < 0)
        fatal("start");
    for (int i = 0; i < OPENING_AT_ONCE; i++)
        open_next();
    loop();
    if (run.idle)
        hold();
    else
        report((double)(now() - start) / 1e9);
    return 0;
}
