"""python.py imap|pop3 OUT, python.py send FROM TO FILE..."""
import imaplib
import os
import poplib
import smtplib
import ssl
import sys

host, port = os.environ["HOST"], int(os.environ["PORT"])
user, password = os.environ["MAILUSER"], os.environ["MAILPASS"]
security = os.environ["SECURITY"]
tls = ssl.create_default_context(cafile=os.environ["CA"])
poplib._MAXLINE = 200_000  # mails with lines of 70 kB are sent on purpose


def imap():
    if security == "tls":
        m = imaplib.IMAP4_SSL(host, port, ssl_context=tls)
    else:
        m = imaplib.IMAP4(host, port)
        m.debug = 4 if "DEBUG" in os.environ else 0
        if security == "starttls":
            m.starttls(tls)
    m.login(user, password)
    return m


def pop3():
    if security == "tls":
        m = poplib.POP3_SSL(host, port, context=tls)
    else:
        m = poplib.POP3(host, port)
        if security == "starttls":
            m.stls(tls)
    m.user(user)
    m.pass_(password)
    return m


def smtp():
    if security == "tls":
        m = smtplib.SMTP_SSL(host, port, context=tls)
    else:
        m = smtplib.SMTP(host, port)
        if security == "starttls":
            m.starttls(context=tls)
    m.login(user, password)
    return m


def fetch_imap(out):
    m = imap()
    m.select("INBOX", readonly=True)
    _, data = m.search(None, "ALL")
    for number in data[0].split():
        _, data = m.fetch(number, "(BODY.PEEK[])")
        write(out, number.decode(), data[0][1])
    m.logout()


def fetch_pop3(out):
    m = pop3()
    for number in range(1, m.stat()[0] + 1):
        lines = m.retr(number)[1]
        write(out, str(number), b"".join(line + b"\r\n" for line in lines))
    m.quit()


def send(sender, to, *files):
    m = smtp()
    for file in files:
        with open(file, "rb") as f:
            m.sendmail(sender, [to], f.read(), ["BODY=8BITMIME"])
    m.quit()


def write(out, name, content):
    with open(os.path.join(out, name), "wb") as f:
        f.write(content)


if __name__ == "__main__":
    {"imap": fetch_imap, "pop3": fetch_pop3, "send": send}[sys.argv[1]](*sys.argv[2:])
