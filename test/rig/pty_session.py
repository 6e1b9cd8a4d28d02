"""A person at a terminal. Standard input: JSON {argv, env, columns, rows, uid, steps: [{send, expect, withinS, everyS}]}.
Each step sends (with everyS again and again, as one does with Ctrl-C), then waits for what it expects (a regular expression over what came since the step before). Standard output:
JSON {steps: [text], code}: what came in each step, and the exit code."""
import fcntl, json, os, pty, re, select, struct, sys, termios, time

MISSED = ": not seen]"


def main():
    script = json.load(sys.stdin)
    pid, fd = pty.fork()
    if pid == 0:
        if script.get("uid"):
            os.setgroups([])
            os.setgid(script["uid"])
            os.setuid(script["uid"])
        os.execve(script["argv"][0], script["argv"], script["env"])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", script["rows"], script["columns"], 0, 0))
    texts = []
    for step in script["steps"]:
        if step.get("send"):
            os.write(fd, step["send"].encode())
        text, ended = read_until(fd, step.get("expect"), step.get("withinS", 20), step.get("send"), step.get("everyS"))
        texts.append(text)
        if ended or text.endswith(MISSED):
            break
    print(json.dumps({"steps": texts, "code": exit_code(pid)}))


def read_until(fd, expected, within, again=None, every=None):
    """What was read, and whether the other end has gone."""
    data = b""
    until = time.monotonic() + within
    resend = time.monotonic() + every if every else None
    while time.monotonic() < until:
        if expected and re.search(expected, data.decode("utf8", "replace"), re.S):
            return data.decode("utf8", "replace"), False
        if resend and time.monotonic() >= resend:
            os.write(fd, again.encode())
            resend = time.monotonic() + every
        ready, _, _ = select.select([fd], [], [], 0.1)
        if ready:
            try:
                chunk = os.read(fd, 65536)
            except OSError:
                chunk = b""
            if not chunk:
                return data.decode("utf8", "replace"), True
            data += chunk
    return data.decode("utf8", "replace") + f"\n[after {within} s without {expected}" + MISSED, False


def exit_code(pid):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None


main()
