//go:build realmail

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"testing"
	"text/template"
	"time"

	"authferry/internal/testport"
)

// freePort returns a port for a server that starts, and starts again.
func freePort(t *testing.T) int {
	t.Helper()
	return int(netip.MustParseAddrPort(testport.Free(t)).Port())
}

// makeCertificate gives the provider's servers a certificate of an authority of
// their own, which authferry is told to trust.
func (m *realMail) makeCertificate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "real mail"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, "server.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	m.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// fill writes a server's configuration from its template.
func (m *realMail) fill(t *testing.T, name, to string) {
	t.Helper()
	tmpl, err := template.ParseFiles("testdata/realmail/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	err = tmpl.Execute(&b, map[string]any{
		"Dir": m.dir, "IntrospectURL": m.oauth.IntrospectURL,
		"IMAP": m.ports["provider imap"], "IMAPS": m.ports["provider imaps"],
		"POP3": m.ports["provider pop3"], "POP3S": m.ports["provider pop3s"],
		"Submission": m.ports["provider smtp"], "Submissions": m.ports["provider smtps"],
		"Office": m.ports["provider office"], "Relay": m.ports["smtp plain"],
	})
	if err != nil {
		t.Fatal(err)
	}
	m.write(t, to, b.Bytes())
	if err := os.Chmod(m.path(to), 0o644); err != nil { // Postfix reads it as its own user
		t.Fatal(err)
	}
}

// ownedBy makes a directory that belongs to a server's user.
func (m *realMail) ownedBy(t *testing.T, name, owner string) {
	t.Helper()
	if err := os.MkdirAll(m.path(name), 0o755); err != nil {
		t.Fatal(err)
	}
	uid, gid := idsOf(t, owner)
	if err := os.Chown(m.path(name), uid, gid); err != nil {
		t.Fatal(err)
	}
}

func idsOf(t *testing.T, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func (m *realMail) startDovecot(t *testing.T) {
	t.Helper()
	m.fill(t, "dovecot.conf", "dovecot.conf")
	m.fill(t, "dovecot-oauth2.conf.ext", "dovecot-oauth2.conf.ext")
	m.ownedBy(t, "mail", "mail")
	if err := os.MkdirAll(m.path("dovecot", "state"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.runDovecot(t)
	t.Cleanup(func() { m.stopDovecot() })
}

func (m *realMail) runDovecot(t *testing.T) {
	t.Helper()
	m.dovecot = exec.Command("dovecot", "-F", "-c", m.path("dovecot.conf"))
	out := newTranscript()
	m.dovecot.Stdout, m.dovecot.Stderr = out, out
	m.dovecot.WaitDelay = time.Second // its children have inherited the pipe
	if err := m.dovecot.Start(); err != nil {
		t.Fatal(err)
	}
	m.waitForPort(t, "provider imaps")
}

func (m *realMail) stopDovecot() {
	exec.Command("doveadm", "-c", m.path("dovecot.conf"), "stop").Run()
	m.dovecot.Wait()
}

func (m *realMail) startPostfix(t *testing.T) {
	t.Helper()
	m.fill(t, "main.cf", "postfix/etc/main.cf")
	m.fill(t, "master.cf", "postfix/etc/master.cf")
	m.write(t, "postfix/etc/password", fmt.Appendf(nil, "[127.0.0.1]:%d %s:%s\n", m.ports["smtp plain"], smallMailbox, m.passwords[smallMailbox]))
	m.ownedBy(t, "postfix/data", "postfix")
	if err := os.MkdirAll(m.path("postfix", "queue"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := m.postfix("start"); err != nil {
		t.Fatalf("starting Postfix: %v\n%s", err, out)
	}
	t.Cleanup(func() { m.postfix("abort") })
	m.waitForPort(t, "provider smtps")
}

func (m *realMail) postfix(command ...string) ([]byte, error) {
	return exec.Command("postfix", append([]string{"-c", m.path("postfix", "etc")}, command...)...).CombinedOutput()
}

// waitForPort waits until the port accepts connections.
func (m *realMail) waitForPort(t *testing.T, name string) {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", m.ports[name])
	eventually(t, "somebody listens on "+name, func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}
