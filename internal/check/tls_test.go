package check

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"authferry/demo"
)

// authority is a private one, such as that of a company that intercepts TLS.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T, organisation string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{Organization: []string{organisation}, CommonName: "Inspection 7"},
		NotBefore: time.Now().Add(-100 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{cert, key, x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// sign makes a server's certificate.
func (a *authority) sign(t *testing.T, name string, until time.Time) *tls.Config {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-50 * time.Hour), NotAfter: until,
	}
	if ip := net.ParseIP(name); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}}
}

// serve handles one connection after the other on a loopback port.
func serve(t *testing.T, talk func(net.Conn)) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			talk(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	e := endpointAt(l.Addr().String())
	return e.Host, e.Port
}

// TestTLSInspection: the authority that intercepts TLS is named.
func TestTLSInspection(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	corp := newAuthority(t, "Example Corp IT")
	config := corp.sign(t, "127.0.0.1", time.Now().Add(time.Hour))
	c.provider.IMAP.Host, c.provider.IMAP.Port = serve(t, func(conn net.Conn) {
		tls.Server(conn, config).Handshake() // the client reports its failure
	})
	r := c.check()
	r.onlyFailures("imap tls")
	r.want("", "imap tls", Fail, "which this machine does not trust", "intercepts TLS", `"Example Corp IT, Inspection 7"`, "ca_file in [provider.gmail]")
	r.want(me, "imap login", Skip, "the step imap tls failed")

	corp.pool.AppendCertsFromPEM(c.gmail.CAPEM)
	c.provider.RootCAs = corp.pool
	r = c.check()
	r.onlyFailures(me + " imap login") // it says nothing beyond TLS
	r.want("", "imap tls", OK, `signed by "Example Corp IT, Inspection 7"`, "no public authority")
}

func TestBadCertificates(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	corp := newAuthority(t, "Example Corp IT")
	c.provider.RootCAs = corp.pool
	expired, other := corp.sign(t, "127.0.0.1", time.Now().Add(-time.Hour)), corp.sign(t, "mail.example.org", time.Now().Add(time.Hour))
	c.provider.IMAP.Host, c.provider.IMAP.Port = serve(t, func(conn net.Conn) { tls.Server(conn, expired).Handshake() })
	c.provider.POP3.Host, c.provider.POP3.Port = serve(t, func(conn net.Conn) { tls.Server(conn, other).Handshake() })
	c.provider.SMTP.Host, c.provider.SMTP.Port = serve(t, func(conn net.Conn) {
		fmt.Fprint(conn, "220 this is no TLS\r\n")
		io.Copy(io.Discard, conn)
	})
	r := c.check()
	r.onlyFailures("imap tls", "pop3 tls", "smtp tls")
	r.want("", "imap tls", Fail, "this machine's clock says "+time.Now().UTC().Format("2006"), "set this machine's clock")
	r.want("", "pop3 tls", Fail, `is for "mail.example.org"`, "write the host")
	r.want("", "smtp tls", Fail, "does not speak TLS from the first byte", "with STARTTLS")
}

// TestStartTLS: each protocol, with a server that starts TLS and one that refuses.
func TestStartTLS(t *testing.T) {
	t.Parallel()
	corp := newAuthority(t, "Example Corp IT")
	config := corp.sign(t, "127.0.0.1", time.Now().Add(time.Hour))
	for protocol, d := range map[string]struct{ greeting, asks, yes, no string }{
		"imap": {"* OK hello\r\n", "s1 STARTTLS\r\n", "* CAPABILITY IMAP4rev1\r\ns1 OK begin\r\n", "s1 BAD what?\r\n"},
		"pop3": {"+OK hello\r\n", "STLS\r\n", "+OK begin\r\n", "-ERR what?\r\n"},
		"smtp": {"220 hello\r\n", "EHLO localhost\r\nSTARTTLS\r\n", "250-hello\r\n250 STARTTLS\r\n220 begin\r\n", "250 hello\r\n502 5.5.1 what?\r\n"},
	} {
		for _, willing := range []bool{true, false} {
			c := newFixture(t, demo.Options{}, me)
			corp.pool.AppendCertsFromPEM(c.gmail.CAPEM)
			c.provider.RootCAs = corp.pool
			host, port := serve(t, func(conn net.Conn) {
				in, answers := bufio.NewReader(conn), strings.SplitAfter(d.no, "\r\n")
				if willing {
					answers = strings.SplitAfter(d.yes, "\r\n")
				}
				fmt.Fprint(conn, d.greeting)
				for ask := range strings.SplitAfterSeq(strings.TrimSuffix(d.asks, "\r\n"), "\r\n") {
					line, err := in.ReadString('\n')
					if err != nil {
						return // the step before this one only connects
					}
					if strings.TrimSpace(line) != strings.TrimSpace(ask) {
						t.Errorf("%s: asked %q instead of %q", protocol, line, ask)
						return
					}
					for more := true; more && len(answers) > 0; answers = answers[1:] {
						fmt.Fprint(conn, answers[0])
						more = strings.HasPrefix(answers[0], "*") || strings.HasPrefix(answers[0], "250-")
					}
				}
				tls.Server(conn, config).Handshake()
			})
			for _, e := range []struct {
				protocol string
				host     *string
				port     *int
				start    *bool
			}{
				{"imap", &c.provider.IMAP.Host, &c.provider.IMAP.Port, &c.provider.IMAP.StartTLS},
				{"pop3", &c.provider.POP3.Host, &c.provider.POP3.Port, &c.provider.POP3.StartTLS},
				{"smtp", &c.provider.SMTP.Host, &c.provider.SMTP.Port, &c.provider.SMTP.StartTLS},
			} {
				if e.protocol == protocol {
					*e.host, *e.port, *e.start = host, port, true
				} else {
					*e.host = ""
				}
			}
			r := c.check("nobody@gmail.com")
			if willing {
				r.want("", protocol+" tls", OK, "Example Corp IT")
			} else {
				r.want("", protocol+" tls", Fail, "does not begin TLS", "what?", "imaps, pop3s or smtps")
			}
		}
	}
}

// TestStartTLSLogin: the whole way through Gmail's port 587.
func TestStartTLSLogin(t *testing.T) {
	t.Parallel()
	c := newFixture(t, demo.Options{}, me)
	c.provider.SMTP = endpointAt(c.gmail.SMTPStartTLS)
	c.provider.SMTP.StartTLS = true
	c.check().onlyFailures()
	if n := c.gmail.EarlyTalkers(); n != 0 {
		t.Errorf("%d connections talked before they were greeted", n)
	}
}
