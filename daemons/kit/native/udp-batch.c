/* Datagrams in batches: recvmmsg, sendmmsg, UDP_SEGMENT. Node-API and libuv only; everything runs on the event loop's thread.

   udp-native.ts is the only caller. Numbers pass through memory that it gives to `init` once for all ports: `memory` takes what is
   received, `words` describes packets (RECORD words each: those received, those to send, those to send after what was received is
   handled) and ends with ERROR, PORT, END and how many rounds brought how much. A port is a small number; one callback, ready(port, count, error), serves all: count datagrams
   of any ports, or of one port an error (errno) or WRITABLE. Functions return a negative errno when they fail.

   The loop polls one descriptor, the epoll of all ports. A round takes what all of them have and calls back once for up to SLOTS
   datagrams. Where rounds follow each other closely, that descriptor is left alone for a moment and a timer starts the next one, so
   that a busy process wakes for many datagrams at a time and a quiet one at once:

     polled ──WAKES rounds within the time of one rest──► resting: a round at the end of each rest ──EMPTY rounds found nothing──► polled

   It does not rest while a port is open that may not. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>
#define NAPI_VERSION 8
#include <node_api.h>
#include <uv.h>

#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SO_MEMINFO
#define SO_MEMINFO 55
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* Datagrams in a batch; a slot takes the usual ones. Not a power of two: headers would share a few lines of the cache. */
enum { SLOTS = 64, SLOT_BYTES = 2112, LONG_BYTES = 65536, MEMORY_BYTES = SLOTS * (SLOT_BYTES + LONG_BYTES) };
/* Words of a record. Received: offset, length, far port, address and our port. To send: those, the address a number from `destination`,
   and where the bytes are. */
enum { OFFSET, LENGTH, FAR_PORT, ADDRESS, ID, SOURCE, RECORD };
/* FOUND: rounds that brought 1, 2-3, 4-7 ... 64 and more datagrams. */
enum { FOUND_WORDS = 7 };
enum { OUT = SLOTS * RECORD, LATER = 2 * OUT, ERROR = 3 * OUT, PORT, END, FOUND, WORDS = FOUND + FOUND_WORDS };
/* Ports of one look; looks of one round, so that others have their turn. */
enum { EVENTS = 64, LOOKS = 4 };
enum { WAKES = 3, EMPTY = 4 };
/* SOURCE: the memory of `init`, an array of the caller, the same array as the packet before. */
enum { FROM_MEMORY, FROM_ARRAY, FROM_SAME };
enum { ADDRESSES = 1024, FRESH = 1 << 16, WRITABLE = -1 };
/* Of SO_MEMINFO: datagrams that found the receive buffer full (what SO_RXQ_OVFL counts, without a control message for each datagram). */
enum { MEMINFO_DROPS = 8, MEMINFO_WORDS };
/* What fits an Ethernet frame. A longer one would be cut to fragments, and UDP_SEGMENT does not do that. */
enum { MAX_SEGMENT_V4 = 1472, MAX_SEGMENT_V6 = 1452, MAX_GROUP_BYTES = 64000 };

typedef union {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} Address;

typedef struct Env Env;

typedef struct {
  int fd, id, v6, connected, segments, impatient;
} Port;

struct Env {
  napi_env env;
  napi_ref ready;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  uv_loop_t *loop;
  uint8_t *memory;
  int32_t *words;
  Port **ports;
  int port_count, open_count, impatient_count, ending;
  int epoll_fd, timer_fd, handles;
  uv_poll_t door, bell; /* on the two */
  int resting, wakes, empty_rounds, in_round, closed_in_round;
  uint64_t rest_ns, counting_since;
  int taken; /* slots that wait for their callback */
  struct mmsghdr in[SLOTS], out[SLOTS];
  struct iovec in_pieces[SLOTS][2], out_pieces[SLOTS];
  Address in_names[SLOTS], out_names[SLOTS];
  int first[SLOTS + 1];
  _Alignas(struct cmsghdr) char control[SLOTS][CMSG_SPACE(sizeof(uint16_t))];
  Address known[ADDRESSES], destinations[ADDRESSES];
};

static Env *arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  Env *e = NULL;
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  napi_get_instance_data(env, (void **)&e);
  return e;
}

static int32_t int_of(napi_env env, napi_value value) {
  int32_t number = -1;
  napi_get_value_int32(env, value, &number);
  return number;
}

static napi_value number(napi_env env, int32_t value) {
  napi_value result;
  napi_create_int32(env, value, &result);
  return result;
}

static Port *port_of(Env *e, napi_value value) {
  int32_t id = int_of(e->env, value);
  Port *p = id >= 0 && id < e->port_count ? e->ports[id] : NULL;
  return p != NULL && p->fd >= 0 ? p : NULL;
}

static socklen_t size_of(const Address *a) { return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4; }

/* What is no address becomes one that the kernel refuses. */
static int read_address(napi_env env, napi_value text, int32_t port, Address *into) {
  char host[80];
  size_t length;
  int is_text = napi_get_value_string_latin1(env, text, host, sizeof host, &length) == napi_ok;
  memset(into, 0, sizeof *into);
  if (is_text && port >= 0 && port <= 0xffff && (strchr(host, ':') ? uv_ip6_addr(host, port, &into->v6) : uv_ip4_addr(host, port, &into->v4)) == 0) return 0;
  into->any.sa_family = AF_MAX;
  return -EINVAL;
}

static napi_value text_of(napi_env env, const Address *a) {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1] = "", interface[IF_NAMESIZE];
  napi_value result;
  inet_ntop(a->any.sa_family, a->any.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, text, INET6_ADDRSTRLEN);
  if (a->any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&a->v6.sin6_addr) && if_indextoname(a->v6.sin6_scope_id, interface)) strcat(strcat(text, "%"), interface);
  napi_create_string_latin1(env, text, NAPI_AUTO_LENGTH, &result);
  return result;
}

/* The place of an address in a small table, so that the caller makes its text once; FRESH: the place had another one. */
static int32_t remember(Env *e, const Address *a) {
  uint32_t hash = 0, words[4] = {a->v4.sin_addr.s_addr, 0, 0, 0};
  int v6 = a->any.sa_family == AF_INET6;
  if (v6) memcpy(words, &a->v6.sin6_addr, sizeof words);
  for (int i = 0; i < 4; i++) hash = (hash ^ words[i]) * 0x9e3779b1u;
  hash >>= 22;
  Address *known = &e->known[hash];
  if (known->any.sa_family == a->any.sa_family &&
      (v6 ? !memcmp(&known->v6.sin6_addr, &a->v6.sin6_addr, sizeof words) && known->v6.sin6_scope_id == a->v6.sin6_scope_id : known->v4.sin_addr.s_addr == words[0]))
    return (int32_t)hash;
  *known = *a;
  return (int32_t)hash | FRESH;
}

static void call_ready(Env *e, int32_t port, int32_t count, int32_t error) {
  napi_env env = e->env;
  napi_handle_scope scope;
  napi_value global, ready, exception;
  if (e->ending || napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value values[] = {number(env, port), number(env, count), number(env, error)};
  napi_get_global(env, &global);
  napi_get_reference_value(env, e->ready, &ready);
  if (napi_make_callback(env, e->context, global, ready, 3, values, NULL) == napi_pending_exception && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
  napi_close_handle_scope(env, scope);
}

/* What a slot could not take lies in the long memory of its number; the head goes in front of it. */
static int32_t join(Env *e, int i, size_t length) {
  if (length <= SLOT_BYTES) return i * SLOT_BYTES;
  int32_t at = SLOTS * SLOT_BYTES + i * LONG_BYTES;
  memcpy(e->memory + at, e->memory + i * SLOT_BYTES, SLOT_BYTES);
  return at;
}

/* Hands on what waits. */
static void hand_on(Env *e) {
  int count = e->taken;
  e->taken = 0;
  if (count > 0) call_ready(e, -1, count, 0);
}

/* What the port has, as far as there are slots, and `most`. */
static int receive(Env *e, Port *p, int most) {
  int from = e->taken, count = recvmmsg(p->fd, e->in + from, (unsigned)(SLOTS - from < most ? SLOTS - from : most), MSG_DONTWAIT, NULL);
  if (count < 0) {
    if (errno != EAGAIN && errno != EINTR) call_ready(e, p->id, 0, errno);
    return 0;
  }
  for (int i = from; i < from + count; i++) {
    int32_t *record = e->words + i * RECORD;
    const Address *far = &e->in_names[i];
    record[OFFSET] = join(e, i, e->in[i].msg_len);
    record[LENGTH] = (int32_t)e->in[i].msg_len;
    record[FAR_PORT] = ntohs(far->v4.sin_port); /* at the same place in both */
    record[ADDRESS] = remember(e, far);
    record[ID] = p->id;
    e->in[i].msg_hdr.msg_namelen = sizeof(Address);
  }
  e->taken += count;
  if (e->taken == SLOTS) hand_on(e);
  return count;
}

static int look(Env *e, int most) {
  struct epoll_event ready[EVENTS];
  int found = 0, count = epoll_wait(e->epoll_fd, ready, EVENTS, 0);
  for (int i = 0; i < count; i++) {
    Port *p = e->ports[ready[i].data.u32];
    /* A callback may have closed it. */
    if (p->fd >= 0 && (ready[i].events & ~(uint32_t)EPOLLOUT)) found += receive(e, p, most);
    if (p->fd >= 0 && (ready[i].events & EPOLLOUT)) call_ready(e, p->id, WRITABLE, 0);
  }
  return found;
}

static void forget_closed(Env *e) {
  e->in_round = 0;
  if (!e->closed_in_round) return;
  e->closed_in_round = 0;
  for (int id = 0; id < e->port_count; id++) {
    if (e->ports[id] == NULL || e->ports[id]->fd >= 0) continue;
    free(e->ports[id]);
    e->ports[id] = NULL;
  }
}

/* What all ports have: in a rest few of them get more than one, and asking each for more costs more than a second look at all. The number
   of a port that closes meanwhile is not given to another one before the end. */
static int do_round(Env *e) {
  int found = 0, bucket = 0;
  e->in_round = 1;
  for (int looks = 0, more = 1; looks < LOOKS && more > 0 && !e->ending; looks++) found += more = look(e, e->resting && looks == 0 ? 1 : SLOTS);
  hand_on(e);
  forget_closed(e);
  while (bucket < FOUND_WORDS - 1 && found >> (bucket + 1)) bucket++;
  if (found > 0 && !e->ending) e->words[FOUND + bucket]++;
  return found;
}

/* Setting it also takes back that it rang. */
static void set_timer(Env *e, uint64_t ns) {
  struct itimerspec once = {.it_value = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)}};
  timerfd_settime(e->timer_fd, 0, &once, NULL);
}

static void on_door(uv_poll_t *door, int status, int events);
static void on_bell(uv_poll_t *bell, int status, int events);

static void rest(Env *e) {
  e->resting = 1;
  e->empty_rounds = 0;
  uv_poll_stop(&e->door);
  uv_poll_start(&e->bell, UV_READABLE, on_bell);
  set_timer(e, e->rest_ns);
}

static void wake(Env *e) {
  if (e->resting) {
    set_timer(e, 0);
    uv_poll_stop(&e->bell);
  }
  e->resting = e->wakes = 0;
  uv_poll_start(&e->door, UV_READABLE, on_door);
}

static int may_rest(const Env *e) { return e->rest_ns > 0 && e->open_count > 0 && e->impatient_count == 0; }

static void on_door(uv_poll_t *door, int status, int events) {
  Env *e = door->data;
  uint64_t now = uv_hrtime();
  (void)status, (void)events;
  if (now - e->counting_since > e->rest_ns) {
    e->counting_since = now;
    e->wakes = 0;
  }
  e->wakes++;
  do_round(e);
  if (e->wakes >= WAKES && may_rest(e)) rest(e);
}

static void on_bell(uv_poll_t *bell, int status, int events) {
  Env *e = bell->data;
  (void)status, (void)events;
  e->empty_rounds = do_round(e) > 0 ? 0 : e->empty_rounds + 1;
  if (e->open_count == 0 || !e->resting) return;
  if (e->empty_rounds < EMPTY && may_rest(e)) set_timer(e, e->rest_ns);
  else wake(e);
}

/* Asking for more than net.core.rmem_max is not an error: the kernel gives what it may. */
static int set_buffer(int fd, int force, int name, int32_t bytes) {
  return bytes <= 0 ? 0 : setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof bytes) && setsockopt(fd, SOL_SOCKET, name, &bytes, sizeof bytes);
}

static int open_socket(const Address *local, int32_t receive_bytes, int32_t send_bytes, int32_t tos, int freebind) {
  int on = 1, v6 = local->any.sa_family == AF_INET6, failed, level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  int fd = socket(local->any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if ((v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on)) || (freebind && setsockopt(fd, level, v6 ? IPV6_FREEBIND : IP_FREEBIND, &on, sizeof on)) ||
      (tos > 0 && setsockopt(fd, level, v6 ? IPV6_TCLASS : IP_TOS, &tos, sizeof tos)) || bind(fd, &local->any, size_of(local)) ||
      set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, receive_bytes) || set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, send_bytes)) {
    failed = -errno;
    close(fd);
    return failed;
  }
  return fd;
}

static int free_id(Env *e) {
  for (int id = 0; id < e->port_count; id++)
    if (e->ports[id] == NULL) return id;
  int wanted = e->port_count ? e->port_count * 2 : 64, id = e->port_count;
  Port **ports = realloc(e->ports, (size_t)wanted * sizeof *ports);
  if (ports == NULL) return -ENOMEM;
  memset(ports + id, 0, (size_t)(wanted - id) * sizeof *ports);
  e->ports = ports;
  e->port_count = wanted;
  return id;
}

static int add_port(Env *e, const Address *local, int fd, int segments, int impatient) {
  int id = free_id(e);
  Port *p = id < 0 ? NULL : calloc(1, sizeof *p);
  struct epoll_event readable = {.events = EPOLLIN, .data.u32 = (uint32_t)id};
  if (p == NULL) return -ENOMEM;
  if (epoll_ctl(e->epoll_fd, EPOLL_CTL_ADD, fd, &readable)) {
    free(p);
    return -errno;
  }
  *p = (Port){.fd = fd, .id = id, .v6 = local->any.sa_family == AF_INET6, .segments = segments, .impatient = impatient};
  e->ports[id] = p;
  e->impatient_count += impatient;
  if (e->open_count++ == 0) wake(e);
  return id;
}

/* open(address, port, receiveBufferBytes, sendBufferBytes, segments: 0 sends each packet by itself, tos, freebind, impatient: 1 no rest while it
   is open): the port's number; its own address: local(port). */
static napi_value open_port(napi_env env, napi_callback_info info) {
  napi_value values[8];
  Env *e = arguments(env, info, 8, values);
  Address local;
  if (read_address(env, values[0], int_of(env, values[1]), &local)) return number(env, -EINVAL);
  int fd = open_socket(&local, int_of(env, values[2]), int_of(env, values[3]), int_of(env, values[5]), int_of(env, values[6]) == 1);
  int id = fd < 0 ? fd : add_port(e, &local, fd, int_of(env, values[4]) == 1, int_of(env, values[7]) == 1);
  if (fd >= 0 && id < 0) close(fd);
  return number(env, id);
}

static napi_value local_address(napi_env env, napi_callback_info info) {
  napi_value value;
  Env *e = arguments(env, info, 1, &value);
  Port *p = port_of(e, value);
  Address local = {.v4 = {.sin_family = AF_INET}};
  socklen_t length = sizeof local;
  if (p != NULL) getsockname(p->fd, &local.any, &length);
  e->words[PORT] = ntohs(local.v4.sin_port);
  return text_of(env, &local);
}

/* overflows(port): datagrams that the kernel dropped because the receive buffer was full. */
static napi_value overflows(napi_env env, napi_callback_info info) {
  napi_value value;
  Env *e = arguments(env, info, 1, &value);
  Port *p = port_of(e, value);
  uint32_t words[MEMINFO_WORDS] = {0};
  socklen_t length = sizeof words;
  if (p == NULL) return number(env, -EBADF);
  if (getsockopt(p->fd, SOL_SOCKET, SO_MEMINFO, words, &length)) return number(env, -errno);
  return number(env, (int32_t)(words[MEMINFO_DROPS] & INT32_MAX));
}

static napi_value connect_port(napi_env env, napi_callback_info info) {
  napi_value values[3];
  Env *e = arguments(env, info, 3, values);
  Port *p = port_of(e, values[0]);
  Address far;
  if (p == NULL) return number(env, -EBADF);
  if (read_address(env, values[1], int_of(env, values[2]), &far)) return number(env, -EINVAL);
  if (connect(p->fd, &far.any, size_of(&far))) return number(env, -errno);
  p->connected = 1;
  return number(env, 0);
}

/* fromOf(i): text of the far end of datagram i of the batch that `ready` was called for. */
static napi_value from_of(napi_env env, napi_callback_info info) {
  napi_value value;
  Env *e = arguments(env, info, 1, &value);
  return text_of(env, &e->in_names[int_of(env, value) & (SLOTS - 1)]);
}

/* destination(number, address): what ADDRESS means in packets to send. */
static napi_value set_destination(napi_env env, napi_callback_info info) {
  napi_value values[2];
  Env *e = arguments(env, info, 2, values);
  return number(env, read_address(env, values[1], 0, &e->destinations[int_of(env, values[0]) & (ADDRESSES - 1)]));
}

static int32_t *record_of(Env *e, int32_t area, int i) { return e->words + area + i * RECORD; }

/* Where the bytes of each packet are. */
static int find_bytes(Env *e, int count, napi_value arrays, int32_t from) {
  uint8_t *base = NULL;
  size_t bytes = 0;
  for (int i = 0; i < count; i++) {
    const int32_t *record = record_of(e, OUT, i);
    if (record[SOURCE] == FROM_MEMORY) base = e->memory, bytes = MEMORY_BYTES;
    else if (record[SOURCE] == FROM_ARRAY) {
      napi_value array;
      if (napi_get_element(e->env, arrays, (uint32_t)(from + i), &array) != napi_ok || napi_get_typedarray_info(e->env, array, NULL, &bytes, (void **)&base, NULL, NULL) != napi_ok) return -EINVAL;
    }
    if (record[OFFSET] < 0 || record[LENGTH] < 0 || (size_t)record[OFFSET] + (size_t)record[LENGTH] > bytes) return -EFAULT;
    e->out_pieces[i] = (struct iovec){base + record[OFFSET], (size_t)record[LENGTH]};
  }
  return 0;
}

static int may_follow(const Port *p, const int32_t *head, const int32_t *packet, const int32_t *previous, int32_t group_bytes) {
  return p->segments && head[LENGTH] > 0 && head[LENGTH] <= (p->v6 ? MAX_SEGMENT_V6 : MAX_SEGMENT_V4) && previous[LENGTH] == head[LENGTH] && packet[LENGTH] > 0 &&
         packet[LENGTH] <= head[LENGTH] && group_bytes + packet[LENGTH] <= MAX_GROUP_BYTES && (p->connected || (packet[ADDRESS] == head[ADDRESS] && packet[FAR_PORT] == head[FAR_PORT]));
}

static Address *name_of(Env *e, const int32_t *record, int message) {
  Address *name = &e->out_names[message];
  *name = e->destinations[record[ADDRESS]];
  name->v4.sin_port = htons((uint16_t)record[FAR_PORT]);
  return name;
}

/* One message for each run of packets that one call can cut apart: equal lengths, the last may be shorter. Returns how many. */
static int build(Env *e, Port *p, int32_t area, int at, int count) {
  int messages = 0;
  while (at < count) {
    const int32_t *head = record_of(e, area, at);
    struct msghdr *message = &e->out[messages].msg_hdr;
    int32_t bytes = head[LENGTH];
    int end = at + 1;
    for (; end < count && may_follow(p, head, head + (end - at) * RECORD, head + (end - at - 1) * RECORD, bytes); end++) bytes += head[(end - at) * RECORD + LENGTH];
    *message = (struct msghdr){.msg_iov = &e->out_pieces[at], .msg_iovlen = (size_t)(end - at)};
    if (!p->connected) {
      message->msg_name = name_of(e, head, messages);
      message->msg_namelen = size_of(message->msg_name);
    }
    if (end - at > 1) {
      uint16_t segment = (uint16_t)head[LENGTH];
      message->msg_control = e->control[messages];
      message->msg_controllen = sizeof e->control[messages];
      struct cmsghdr *control = CMSG_FIRSTHDR(message);
      *control = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
      memcpy(CMSG_DATA(control), &segment, sizeof segment);
    }
    e->first[messages++] = at;
    at = end;
  }
  e->first[messages] = count;
  return messages;
}

static int refuses_segments(int error) { return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP || error == ENOPROTOOPT; }

/* How many messages went. One packet alone needs no description of its parts. */
static int give(Env *e, Port *p, int32_t area, int at, int count) {
  const struct iovec *piece = &e->out_pieces[at];
  if (count - at > 1) return sendmmsg(p->fd, e->out, (unsigned)build(e, p, area, at, count), MSG_DONTWAIT);
  const Address *name = p->connected ? NULL : name_of(e, record_of(e, area, at), 0);
  e->first[0] = at;
  e->first[1] = count;
  return sendto(p->fd, piece->iov_base, piece->iov_len, MSG_DONTWAIT, name ? &name->any : NULL, name ? size_of(name) : 0) < 0 ? -1 : 1;
}

/* Packets that need no further thought: sent, or refused for good (ERROR says why). The rest waits until the kernel has room. */
static int send_all(Env *e, Port *p, int32_t area, int at, int count) {
  int tried = -1;
  while (at < count) {
    int sent = give(e, p, area, at, count);
    if (sent > 0) at = e->first[sent];
    else if (errno == EAGAIN) break;
    else if (errno == EINTR) continue;
    else if (e->first[1] - at > 1 && refuses_segments(errno)) p->segments = 0;
    else {
      /* An earlier packet's ICMP error was in the way, or this one cannot be sent: a second try tells. */
      e->words[ERROR] = errno;
      if (tried == at) at = e->first[1];
      else tried = at;
    }
  }
  return at;
}

/* send(port, count, arrays, from): how many of the packets described were taken. */
static napi_value send_packets(napi_env env, napi_callback_info info) {
  napi_value values[4];
  Env *e = arguments(env, info, 4, values);
  Port *p = port_of(e, values[0]);
  int count = int_of(env, values[1]);
  e->words[ERROR] = 0;
  if (p == NULL || count < 0 || count > SLOTS) return number(env, -EBADF);
  int failed = find_bytes(e, count, values[2], int_of(env, values[3]));
  return number(env, failed ? failed : send_all(e, p, OUT, 0, count));
}

/* flush(from, count): the packets described at LATER, of connected ports and out of `memory`, each port's together. How far it came:
   behind the first port that had no room or an error it stops, and END says where that port's packets end. */
static napi_value flush(napi_env env, napi_callback_info info) {
  napi_value values[2];
  Env *e = arguments(env, info, 2, values);
  int at = int_of(env, values[0]), count = int_of(env, values[1]), end = at, taken = at;
  e->words[ERROR] = 0;
  if (at < 0 || count > SLOTS) return number(env, -EBADF);
  for (; at < count && taken == end && e->words[ERROR] == 0; at = end) {
    int32_t id = record_of(e, LATER, at)[ID];
    for (; end < count && record_of(e, LATER, end)[ID] == id; end++) e->out_pieces[end] = (struct iovec){e->memory + record_of(e, LATER, end)[OFFSET], (size_t)record_of(e, LATER, end)[LENGTH]};
    taken = send_all(e, e->ports[id], LATER, at, end);
  }
  e->words[END] = end;
  return number(env, taken);
}

/* wantWritable(port, wanted): `ready` is called with WRITABLE while the kernel has room. */
static napi_value want_writable(napi_env env, napi_callback_info info) {
  napi_value values[2];
  Env *e = arguments(env, info, 2, values);
  Port *p = port_of(e, values[0]);
  if (p == NULL) return number(env, -EBADF);
  struct epoll_event wanted = {.events = int_of(env, values[1]) == 1 ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.u32 = (uint32_t)p->id};
  return number(env, epoll_ctl(e->epoll_fd, EPOLL_CTL_MOD, p->fd, &wanted) ? -errno : 0);
}

/* The descriptor is given back; its number is free after the round. */
static void stop(Env *e, Port *p) {
  /* By hand: a child that is just being started may still have it. */
  epoll_ctl(e->epoll_fd, EPOLL_CTL_DEL, p->fd, NULL);
  close(p->fd);
  p->fd = -1;
  e->impatient_count -= p->impatient;
  e->closed_in_round = 1;
  if (!e->in_round) forget_closed(e);
  if (--e->open_count > 0 || e->ending) return;
  uv_poll_stop(&e->door);
  uv_poll_stop(&e->bell);
  if (e->resting) set_timer(e, 0);
  e->resting = 0;
}

/* close(port): nothing comes from it any more. */
static napi_value close_port(napi_env env, napi_callback_info info) {
  napi_value value;
  Env *e = arguments(env, info, 1, &value);
  Port *p = port_of(e, value);
  if (p == NULL) return number(env, -EBADF);
  stop(e, p);
  return number(env, 0);
}

static void on_handle_closed(uv_handle_t *handle) {
  Env *e = handle->data;
  if (--e->handles > 0) return;
  close(e->epoll_fd);
  close(e->timer_fd);
  napi_remove_async_cleanup_hook(e->cleanup);
  free(e->ports);
  free(e);
}

static void on_end(napi_async_cleanup_hook_handle handle, void *data) {
  Env *e = data;
  (void)handle;
  e->ending = 1;
  for (int id = 0; id < e->port_count; id++)
    if (e->ports[id] != NULL && e->ports[id]->fd >= 0) stop(e, e->ports[id]);
  uv_close((uv_handle_t *)&e->door, on_handle_closed);
  uv_close((uv_handle_t *)&e->bell, on_handle_closed);
}

/* The memory stays where it is while a reference holds it. */
static int hold(napi_env env, napi_value array, size_t wanted, void **data) {
  napi_typedarray_type type;
  napi_ref reference;
  size_t length;
  return napi_get_typedarray_info(env, array, &type, &length, data, NULL, NULL) == napi_ok && length == wanted && napi_create_reference(env, array, 1, &reference) == napi_ok;
}

static void prepare(Env *e) {
  for (int i = 0; i < SLOTS; i++) {
    e->in_pieces[i][0] = (struct iovec){e->memory + i * SLOT_BYTES, SLOT_BYTES};
    e->in_pieces[i][1] = (struct iovec){e->memory + SLOTS * SLOT_BYTES + i * LONG_BYTES + SLOT_BYTES, LONG_BYTES - SLOT_BYTES};
    e->in[i].msg_hdr = (struct msghdr){.msg_name = &e->in_names[i], .msg_namelen = sizeof(Address), .msg_iov = e->in_pieces[i], .msg_iovlen = 2};
  }
}

static int open_loop(Env *e) {
  if ((e->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0 || (e->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) < 0) return -errno;
  e->door.data = e->bell.data = e;
  e->handles = 2;
  return uv_poll_init(e->loop, &e->door, e->epoll_fd) || uv_poll_init(e->loop, &e->bell, e->timer_fd) ? -EINVAL : 0;
}

/* init(memory: MEMORY_BYTES octets, words: Int32Array of WORDS, ready, restUs: 0 never rests): once. */
static napi_value init(napi_env env, napi_callback_info info) {
  napi_value values[4], name;
  Env *e = arguments(env, info, 4, values);
  if (e != NULL) return number(env, -EALREADY);
  if ((e = calloc(1, sizeof *e)) == NULL) return number(env, -ENOMEM);
  e->env = env;
  napi_create_string_latin1(env, "viewlink:udp", NAPI_AUTO_LENGTH, &name);
  if (!hold(env, values[0], MEMORY_BYTES, (void **)&e->memory) || !hold(env, values[1], WORDS, (void **)&e->words) || napi_create_reference(env, values[2], 1, &e->ready) != napi_ok ||
      napi_async_init(env, NULL, name, &e->context) != napi_ok || napi_get_uv_event_loop(env, &e->loop) != napi_ok || open_loop(e) ||
      napi_add_async_cleanup_hook(env, on_end, e, &e->cleanup) != napi_ok || napi_set_instance_data(env, e, NULL, NULL) != napi_ok) {
    free(e);
    return number(env, -EINVAL);
  }
  e->rest_ns = (uint64_t)int_of(env, values[3]) * 1000;
  prepare(e);
  return number(env, 0);
}

NAPI_MODULE_INIT() {
  static const struct { const char *name; napi_callback call; } functions[] = {
      {"init", init}, {"open", open_port}, {"local", local_address}, {"overflows", overflows}, {"connect", connect_port}, {"fromOf", from_of}, {"destination", set_destination},
      {"send", send_packets}, {"flush", flush}, {"wantWritable", want_writable}, {"close", close_port}};
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    napi_value value;
    napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL, &value);
    napi_set_named_property(env, exports, functions[i].name, value);
  }
  return exports;
}
