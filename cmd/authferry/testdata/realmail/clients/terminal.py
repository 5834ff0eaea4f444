"""terminal.py COMMAND...: run a command on a terminal of its own, for programs that want one."""
import fcntl
import os
import pty
import struct
import sys
import termios

pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
try:
    while output := os.read(fd, 65536):
        os.write(1, output)
except OSError:  # how the far end of a terminal closes
    pass
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
