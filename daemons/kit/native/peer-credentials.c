/* Who connected to a unix socket: SO_PEERCRED, unix(7). The other half is ../peer-credentials.ts. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include <node_api.h>

/* peerOf(fd, words: Int32Array of 3): pid, uid and gid as they were at connect(2); 0, or a negative errno. */
static napi_value peer_of(napi_env env, napi_callback_info info) {
  napi_value values[2], answer;
  napi_typedarray_type type;
  size_t count = 2, length = 0;
  int32_t fd = -1, result = 0, *words = NULL;
  struct ucred peer;
  socklen_t size = sizeof peer;

  if (napi_get_cb_info(env, info, &count, values, NULL, NULL) != napi_ok || count != 2 || napi_get_value_int32(env, values[0], &fd) != napi_ok ||
      napi_get_typedarray_info(env, values[1], &type, &length, (void **)&words, NULL, NULL) != napi_ok || type != napi_int32_array || length != 3) {
    result = -EINVAL;
  } else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    result = -errno;
  } else {
    words[0] = peer.pid;
    words[1] = (int32_t)peer.uid;
    words[2] = (int32_t)peer.gid;
  }
  napi_create_int32(env, result, &answer);
  return answer;
}

NAPI_MODULE_INIT() {
  napi_value value;
  napi_create_function(env, "peerOf", NAPI_AUTO_LENGTH, peer_of, NULL, &value);
  napi_set_named_property(env, exports, "peerOf", value);
  return exports;
}
