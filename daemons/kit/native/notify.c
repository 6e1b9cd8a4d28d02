/* A datagram to systemd: sd_notify(3). The other half is ../notify.ts. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <node_api.h>

enum { MAX_TEXT = 1024 };

/* Blocks only while systemd's queue is full, as sd_notify does. 0, or a negative errno. */
static int tell(const char *path, size_t path_length, const char *text, size_t length) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd, result = 0;
  if (path_length == 0 || path_length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, path, path_length);
  if (path[0] == '@') address.sun_path[0] = 0;
  if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0) return -errno;
  if (sendto(fd, text, length, MSG_NOSIGNAL, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_length)) < 0) result = -errno;
  close(fd);
  return result;
}

/* notify(path, text): NOTIFY_SOCKET as it stands in the environment, and the assignments, a line each; 0, or a negative errno. */
static napi_value notify(napi_env env, napi_callback_info info) {
  napi_value values[2], answer;
  char path[MAX_TEXT], text[MAX_TEXT];
  size_t count = 2, path_length = 0, length = 0;
  int result = -EINVAL;
  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok && count == 2 && napi_get_value_string_utf8(env, values[0], path, sizeof path, &path_length) == napi_ok &&
      napi_get_value_string_utf8(env, values[1], text, sizeof text, &length) == napi_ok) {
    result = tell(path, path_length, text, length);
  }
  napi_create_int32(env, result, &answer);
  return answer;
}

NAPI_MODULE_INIT() {
  napi_value value;
  napi_create_function(env, "notify", NAPI_AUTO_LENGTH, notify, NULL, &value);
  napi_set_named_property(env, exports, "notify", value);
  return exports;
}
