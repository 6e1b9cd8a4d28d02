/* The reference in C: recvmmsg and sendmmsg, nothing else. One socket in and one connected socket out per stream.
   Arguments: a port to send to per stream. Prints the ports it receives on. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, BYTES = 2048, MAX_STREAMS = 4096 };

static char memory[BATCH][BYTES];

static struct sockaddr_in loopback(int port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int main(int argc, char **argv) {
  static int in[MAX_STREAMS], out[MAX_STREAMS];
  struct mmsghdr messages[BATCH];
  struct iovec pieces[BATCH];
  struct epoll_event events[BATCH];
  int streams = argc - 1, buffer = 4 * 1024 * 1024, poll = epoll_create1(0);
  if (streams < 1 || streams > MAX_STREAMS) return 64;
  for (int i = 0; i < streams; i++) {
    struct sockaddr_in self = loopback(0), peer = loopback(atoi(argv[i + 1]));
    socklen_t length = sizeof self;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (unsigned)i};
    in[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    out[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(in[i], SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    if (bind(in[i], (struct sockaddr *)&self, length) || connect(out[i], (struct sockaddr *)&peer, sizeof peer)) return 71;
    getsockname(in[i], (struct sockaddr *)&self, &length);
    epoll_ctl(poll, EPOLL_CTL_ADD, in[i], &event);
    printf(i + 1 < streams ? "%d " : "%d\n", ntohs(self.sin_port));
  }
  fflush(stdout);
  memset(messages, 0, sizeof messages);
  for (;;) {
    int ready = epoll_wait(poll, events, BATCH, -1);
    for (int e = 0; e < ready; e++) {
      int i = (int)events[e].data.u32, count;
      for (int m = 0; m < BATCH; m++) {
        pieces[m] = (struct iovec){memory[m], BYTES};
        messages[m].msg_hdr = (struct msghdr){.msg_iov = &pieces[m], .msg_iovlen = 1};
      }
      count = recvmmsg(in[i], messages, BATCH, 0, NULL);
      for (int m = 0; m < count; m++) pieces[m].iov_len = messages[m].msg_len;
      for (int sent = 0; sent < count;) {
        int done = sendmmsg(out[i], messages + sent, (unsigned)(count - sent), 0);
        sent += done > 0 ? done : 1;
      }
    }
  }
}
