package mailsettings

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/xml"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"rsc.io/qr"

	"authferry/proxy"
)

// propertyList reads the dictionaries of a property list, the innermost last.
func propertyList(content string) (map[string]string, error) {
	values, key := map[string]string{}, ""
	decoder := xml.NewDecoder(strings.NewReader(content))
	for {
		token, err := decoder.Token()
		start, ok := token.(xml.StartElement)
		switch {
		case err != nil && err.Error() == "EOF":
			return values, nil
		case err != nil:
			return nil, err
		case !ok:
			continue
		}
		switch start.Name.Local {
		case "plist", "dict", "array":
			continue
		case "true", "false":
			values[key] = start.Name.Local
			continue
		}
		var text string
		if err := decoder.DecodeElement(&text, &start); err != nil {
			return nil, err
		}
		if start.Name.Local == "key" {
			key = text
		} else {
			values[key] = text
		}
	}
}

// TestProfile: a profile has everything that the payload requires, and no password.
func TestProfile(t *testing.T) {
	t.Parallel()
	w := askSettings(mailSettings(everyService), "GET", "/email.mobileconfig?email=o%27b%26rien@example.com", "")
	if kind := w.Header().Get("Content-Type"); w.Code != http.StatusOK || kind != "application/x-apple-aspen-config" {
		t.Fatalf("%d %s %s", w.Code, kind, w.Body)
	}
	got, err := propertyList(w.Body.String())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"EmailAccountType": "EmailTypeIMAP", "EmailAddress": "o'b&rien@example.com",
		"IncomingMailServerAuthentication": "EmailAuthPassword", "OutgoingMailServerAuthentication": "EmailAuthPassword",
		"IncomingMailServerHostName": "mail.example.com", "IncomingMailServerPortNumber": "993", "IncomingMailServerUseSSL": "true",
		"OutgoingMailServerHostName": "mail.example.com", "OutgoingMailServerPortNumber": "465", "OutgoingMailServerUseSSL": "true",
		"IncomingMailServerUsername": "o'b&rien@example.com", "OutgoingPasswordSameAsIncomingPassword": "true",
		"PayloadVersion": "1", "PayloadType": "Configuration",
	} {
		if got[key] != want {
			t.Errorf("%s: %q instead of %q", key, got[key], want)
		}
	}
	if _, there := got["IncomingPassword"]; there {
		t.Error("a password in the profile")
	}
	if again := askSettings(mailSettings(everyService), "GET", "/email.mobileconfig?email=o%27b%26rien@example.com", ""); again.Body.String() != w.Body.String() {
		t.Error("a profile that is fetched again does not take the place of the old one")
	}
	ids := regexp.MustCompile(`<string>([0-9A-F-]{36})</string>`).FindAllStringSubmatch(w.Body.String(), -1)
	if len(ids) != 2 || ids[0][1] == ids[1][1] {
		t.Errorf("the UUIDs of the two payloads: %q", ids)
	}
	readByPython(t, w.Body.String())

	if w := askSettings(mailSettings(everyService[:8][2:6]), "GET", "/email.mobileconfig?email=you@example.com", ""); w.Code != http.StatusNotFound {
		t.Errorf("an account that cannot send: %d", w.Code)
	}
	content, err := Profile("you@example.com", []Service{
		{Protocol: "pop3", Host: "::1", Port: 1110, Security: proxy.Plain}, {Protocol: "smtp", Host: "::1", Port: 1587, Security: proxy.Plain},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	got, err = propertyList(string(content))
	if err != nil || got["EmailAccountType"] != "EmailTypePOP" || got["IncomingMailServerUseSSL"] != "false" || got["OutgoingMailServerUseSSL"] != "false" {
		t.Errorf("POP3 on this machine: %v %v", got, err)
	}
}

// readByPython reads a property list with Python's plistlib.
func readByPython(t *testing.T, content string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Log("no python3 to read the profile with")
		return
	}
	cmd := exec.Command(python, "-c", `import plistlib, sys
p = plistlib.loads(sys.stdin.buffer.read())
a, = p["PayloadContent"]
assert p["PayloadType"] == "Configuration" and p["PayloadVersion"] == 1, p
assert a["PayloadType"] == "com.apple.mail.managed" and a["PayloadVersion"] == 1, a
assert a["IncomingMailServerPortNumber"] == 993 and a["IncomingMailServerUseSSL"] is True, a
assert a["PayloadIdentifier"].startswith(p["PayloadIdentifier"] + "."), p`)
	cmd.Stdin = strings.NewReader(content)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("Python's plistlib: %v\n%s", err, out)
	}
}

// certificateOf returns a certificate and that of the authority which signed it.
func certificateOf(t *testing.T, key crypto.Signer) *tls.Certificate {
	t.Helper()
	now := time.Now()
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.example.com"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), DNSNames: []string{"mail.example.com"}, KeyUsage: x509.KeyUsageDigitalSignature}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: key}
}

// Object identifiers of hashes, as DER has them: RFC 5754 §2.2, RFC 3370 §2.1.
const (
	sha256OID = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	sha1OID   = "\x06\x05\x2b\x0e\x03\x02\x1a"
)

// signingCertificates returns a certificate for each kind of key.
func signingCertificates(t *testing.T) map[string]*tls.Certificate {
	t.Helper()
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*tls.Certificate{"ECDSA": certificateOf(t, curve), "RSA": certificateOf(t, old)}
}

// askProfile asks for a profile that pair signs, or an unsigned one without pair.
func askProfile(pair *tls.Certificate) *httptest.ResponseRecorder {
	s := mailSettings(everyService)
	s.Certificate = func() (*tls.Certificate, error) { return pair, nil }
	return askSettings(s, "GET", "/email.mobileconfig?email=you@example.com", "")
}

// TestSignedProfile: a signed profile contains the unsigned one unchanged, and the whole
// chain. TestOpenSSLVerifiesProfile verifies the signature.
func TestSignedProfile(t *testing.T) {
	t.Parallel()
	unsigned := askProfile(nil).Body.String()
	certificates := signingCertificates(t)
	for name, pair := range certificates {
		w := askProfile(pair)
		if strings.HasPrefix(w.Body.String(), "<") || !strings.Contains(w.Body.String(), unsigned) {
			t.Errorf("%s: not signed, or another profile", name)
		}
		if !strings.Contains(w.Body.String(), sha256OID) || strings.Contains(w.Body.String(), sha1OID) {
			t.Errorf("%s: not signed by SHA-256", name)
		}
		for i, der := range pair.Certificate {
			if !strings.Contains(w.Body.String(), string(der)) {
				t.Errorf("%s: certificate %d of the chain is not along", name, i)
			}
		}
	}
	// A profile that cannot be signed is served unsigned.
	for name, certificate := range map[string]func() (*tls.Certificate, error){
		"no certificate": func() (*tls.Certificate, error) { return nil, nil },
		"none yet":       func() (*tls.Certificate, error) { return nil, errors.New("not yet") },
		"an empty one":   func() (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		"one without a key": func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: certificates["RSA"].Certificate}, nil
		},
	} {
		s := mailSettings(everyService)
		s.Certificate = certificate
		if w := askSettings(s, "GET", "/email.mobileconfig?email=you@example.com", ""); w.Code != http.StatusOK || w.Body.String() != unsigned {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// TestQRCode: the picture has the modules of the code, and its border.
func TestQRCode(t *testing.T) {
	const text = "https://mail.example.com/email.mobileconfig?email=you@example.com"
	picture, err := QRCode(text)
	if err != nil {
		t.Fatal(err)
	}
	var svg struct {
		Box   string `xml:"viewBox,attr"`
		Paths []struct {
			D string `xml:"d,attr"`
		} `xml:"path"`
	}
	if err := xml.Unmarshal(picture, &svg); err != nil || len(svg.Paths) != 2 {
		t.Fatalf("%v: %s", err, picture)
	}
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	got := map[[2]int]bool{}
	for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(svg.Paths[1].D, -1) {
		if run[3] != run[4] {
			t.Fatalf("%s is no rectangle", run[0])
		}
		for i := range number(run[3]) {
			got[[2]int{number(run[1]) + i, number(run[2])}] = true
		}
	}
	size := code.Size + 8
	if want := strings.Join([]string{"0", "0", decimal(size), decimal(size)}, " "); svg.Box != want {
		t.Errorf("a box of %s instead of %s", svg.Box, want)
	}
	for y := range size {
		for x := range size {
			if want := code.Black(x-4, y-4); got[[2]int{x, y}] != want {
				t.Fatalf("the module at %d, %d is not %t", x, y, want)
			}
		}
	}
	if _, err := QRCode(strings.Repeat("x", 5000)); err == nil {
		t.Error("a code of 5,000 letters")
	}
}
