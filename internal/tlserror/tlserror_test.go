package tlserror

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	server := Server{Host: "mail.example", Address: "mail.example port 993", Table: "[provider.x]"}
	leaf := &x509.Certificate{DNSNames: []string{"other.example"}, Issuer: pkix.Name{Organization: []string{"Example\r\nCorp"}, CommonName: "Inspection"}}
	chain := func(err error) error {
		return fmt.Errorf("handshake: %w", &tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{leaf}, Err: err})
	}
	for name, c := range map[string]struct {
		err       error
		what, fix string
	}{
		"unknown authority": {chain(x509.UnknownAuthorityError{}), "mail.example is signed by \"Example\\r\\nCorp, Inspection\"", `Corp, Inspection" is an authority of your organisation`},
		"no certificate":    {x509.UnknownAuthorityError{}, `is signed by ""`, "ca_file in [provider.x]"},
		"wrong name":        {chain(x509.HostnameError{Certificate: leaf, Host: "mail.example"}), `is for "other.example"`, "write the host"},
		"no names":          {x509.HostnameError{Certificate: new(x509.Certificate), Host: "mail.example"}, "is for other names", "write the host"},
		"expired":           {chain(x509.CertificateInvalidError{Cert: leaf, Reason: x509.Expired}), "this machine's clock says", "set this machine's clock"},
		"not TLS":           {fmt.Errorf("handshake: %w", tls.RecordHeaderError{Msg: "x"}), "mail.example port 993 does not speak TLS", "STARTTLS"},
		"not authorized":    {chain(x509.CertificateInvalidError{Cert: leaf, Reason: x509.NotAuthorizedToSign}), "", ""},
		"another error":     {errors.New("connection reset"), "", ""},
	} {
		what, fix, ok := Explain(c.err, server)
		if ok != (c.what != "") || !strings.Contains(what, c.what) || !strings.Contains(fix, c.fix) {
			t.Errorf("%s: %q, %q, %t", name, what, fix, ok)
		}
	}
}
