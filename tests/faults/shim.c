/* A file system that fails and a clock that jumps, for LD_PRELOAD; the environment says what:

   SHIM_CALL   write, sync, rename or truncate: the calls that count, on files whose path holds SHIM_PATH
   SHIM_AT     fault at this one, counted from 1
   SHIM_DO     an errno number to fail with; "before", "half" or "after": SIGKILL around the call; "term": SIGTERM
   SHIM_JUMP   the wall clock jumps by so many seconds to and fro at every look
   SHIM_TELL   append a line to this file for each fault */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static _Atomic long seen;

static long number(const char *name) { const char *text = getenv(name); return text ? atol(text) : 0; }

static void tell(const char *what) {
  const char *path = getenv("SHIM_TELL");
  int file = path ? syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
  if (file < 0) return;
  syscall(SYS_write, file, what, strlen(what));
  syscall(SYS_write, file, "\n", 1);
  syscall(SYS_close, file);
}

/* What to do at this call: NULL for nothing. */
static const char *due(const char *call, const char *path) {
  const char *wanted = getenv("SHIM_CALL"), *part = getenv("SHIM_PATH");
  if (!wanted || strcmp(wanted, call) || (part && !strstr(path, part))) return NULL;
  if (++seen != number("SHIM_AT")) return NULL;
  tell(path);
  const char *act = getenv("SHIM_DO");
  if (strcmp(act, "term")) return act;
  kill(getpid(), SIGTERM);
  return NULL;
}

static const char *due_of(const char *call, int file, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return due(call, path);
}

static void die(void) { kill(getpid(), SIGKILL); pause(); }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define AROUND(act, half, result_of_call)                        \
  if (act) {                                                     \
    if (act[0] >= '0' && act[0] <= '9') { errno = atoi(act); return -1; } \
    if (!strcmp(act, "half")) { half; }                          \
    if (strcmp(act, "after")) die();                             \
  }                                                              \
  __auto_type result = result_of_call;                           \
  if (act) die();                                                \
  return result;

ssize_t write(int file, const void *data, size_t size) {
  char path[PATH_MAX];
  const char *act = due_of("write", file, path);
  AROUND(act, REAL(write)(file, data, size / 2), REAL(write)(file, data, size))
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
  char path[PATH_MAX];
  const char *act = due_of("write", file, path);
  AROUND(act, REAL(pwrite64)(file, data, size / 2, at), REAL(pwrite64)(file, data, size, at))
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at) { return pwrite64(file, data, size, at); }

ssize_t writev(int file, const struct iovec *parts, int count) {
  char path[PATH_MAX];
  const char *act = due_of("write", file, path);
  AROUND(act, REAL(writev)(file, parts, 1), REAL(writev)(file, parts, count))
}

ssize_t pwritev64(int file, const struct iovec *parts, int count, off64_t at) {
  char path[PATH_MAX];
  const char *act = due_of("write", file, path);
  AROUND(act, REAL(pwritev64)(file, parts, 1, at), REAL(pwritev64)(file, parts, count, at))
}

ssize_t pwritev(int file, const struct iovec *parts, int count, off_t at) { return pwritev64(file, parts, count, at); }

int fsync(int file) {
  char path[PATH_MAX];
  const char *act = due_of("sync", file, path);
  AROUND(act, , REAL(fsync)(file))
}

int fdatasync(int file) {
  char path[PATH_MAX];
  const char *act = due_of("sync", file, path);
  AROUND(act, , REAL(fdatasync)(file))
}

int ftruncate64(int file, off64_t size) {
  char path[PATH_MAX];
  const char *act = due_of("truncate", file, path);
  AROUND(act, , REAL(ftruncate64)(file, size))
}

int ftruncate(int file, off_t size) { return ftruncate64(file, size); }

int rename(const char *from, const char *to) {
  const char *act = due("rename", to);
  AROUND(act, , REAL(rename)(from, to))
}

static long jump(void) {
  static _Atomic long looks;
  return ++looks % 2 ? number("SHIM_JUMP") : -number("SHIM_JUMP");
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = REAL(clock_gettime)(clock, now);
  if (clock == CLOCK_REALTIME && getenv("SHIM_JUMP")) now->tv_sec += jump();
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int result = REAL(gettimeofday)(now, zone);
  if (getenv("SHIM_JUMP")) now->tv_sec += jump();
  return result;
}

time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
