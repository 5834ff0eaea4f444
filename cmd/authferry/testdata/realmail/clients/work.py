"""work.py VERB...: what else a mail program does with IMAP, one verb each."""
import base64
import concurrent.futures
import hashlib
import os
import sys
import threading

from python import imap, pop3, smtp


def read(file):
    with open(file, "rb") as f:
        return f.read()


def idle(box="INBOX", once=True):
    """Wait for mail: `idle` until there is one, `hold` until the server ends it."""
    m = imap()
    count = int(m.select(box, readonly=True)[1][0])
    m.send(b"x1 IDLE\r\n")
    assert m.readline().startswith(b"+"), "no continuation"
    print("idling", flush=True)
    while line := m.readline():
        print(line.decode().rstrip(), flush=True)
        if once and line.startswith(b"* %d EXISTS" % (count + 1)):
            m.send(b"DONE\r\n")
            while not m.readline().startswith(b"x1 OK"):
                pass
            mail = m.fetch(str(count + 1), "(BODY.PEEK[])")[1][0][1]
            print("saw", hashlib.sha256(mail[mail.index(b"From: sender@") :]).hexdigest(), flush=True)
            m.logout()
            return
    print("closed", flush=True)


def hold():
    idle(once=False)


def append(folder, *files):
    m = imap()
    m.create(folder)
    for file in files:
        status, answer = m.append(folder, None, None, read(file))
        assert status == "OK", answer
    m.logout()


def modified_utf7(name):
    """RFC 3501 section 5.1.3."""
    out, run = [], []

    def end():
        if run:
            word = base64.b64encode("".join(run).encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
            out.append("&" + word.decode() + "-")
            run.clear()

    for c in name:
        if " " <= c <= "~":
            end()
            out.append("&-" if c == "&" else c)
        else:
            run.append(c)
    end()
    return "".join(out)


def folders(file, *names):
    """Make folders, each with one mail that names it."""
    m = imap()
    template = read(file)
    for name in names:
        quoted = '"' + modified_utf7(name).replace('"', '\\"') + '"'
        status, answer = m.create(quoted)
        assert status == "OK", answer
        mail = template.replace(b"Subject: empty", b"Subject: " + base64.b64encode(name.encode()))
        status, answer = m.append(quoted, None, None, mail)
        assert status == "OK", answer
    m.logout()


def headers(box):
    """All headers of a mailbox by one command."""
    m = imap()
    m.select(box, readonly=True)
    data = m.fetch("1:*", "(BODY.PEEK[HEADER])")[1]
    hashes = sorted(hashlib.sha256(part[1]).hexdigest() for part in data if isinstance(part, tuple))
    print(len(hashes), hashlib.sha256("".join(hashes).encode()).hexdigest())
    m.logout()


def crowd(protocol, count, sender, to, file):
    """Many sessions at a time: all log in, then all work, then all leave."""
    together = threading.Barrier(int(count), timeout=60)
    mail = read(file)

    def one(_):
        if protocol == "imap":
            m = imap()
            together.wait()
            m.select("INBOX", readonly=True)
            found = hashlib.sha256(m.fetch("1", "(BODY.PEEK[])")[1][0][1]).hexdigest()
            m.logout()
        elif protocol == "pop3":
            # A POP3 session locks the mailbox only at its end; nothing is deleted.
            m = pop3()
            together.wait()
            found = hashlib.sha256(b"".join(line + b"\r\n" for line in m.retr(1)[1])).hexdigest()
            m.quit()
        else:
            m = smtp()
            together.wait()
            m.sendmail(sender, [to], mail)
            m.quit()
            found = "sent"
        return found

    with concurrent.futures.ThreadPoolExecutor(int(count)) as pool:
        for found in sorted(pool.map(one, range(int(count)))):
            print(found)


def relogin(count):
    """Log in again and again."""
    for n in range(int(count)):
        m = imap()
        m.noop()
        m.logout()
        print("login", n, flush=True)
        sys.stdin.readline()


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[1:2] == ["crowd"]:  # called by the protocol, which says the port
        arguments = arguments[1:]
    globals()[arguments[0]](*arguments[1:])
