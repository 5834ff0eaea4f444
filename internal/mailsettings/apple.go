package mailsettings

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/smallstep/pkcs7"
	"go.uber.org/zap"

	"authferry/proxy"
)

// errNotReachable: no listener for the program there is.
var errNotReachable = errors.New("nothing that such a program could connect to is listened on")

// answerProfile gives iPhones, iPads and Macs the settings of an address. The
// account asks for its password when it is installed.
func (s *MailSettings) answerProfile(w http.ResponseWriter, r *http.Request) {
	address := r.FormValue("email")
	if !s.serves(w, r, domainOf(address)) {
		return
	}
	content, err := Profile(address, s.Services(), askedHere(r))
	if err != nil {
		http.Error(w, refusedSettings, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="email.mobileconfig"`)
	s.write(w, "application/x-apple-aspen-config", s.signed(content))
}

// signed signs a profile with the certificate that mail programs see. One that
// cannot be signed is installed as well: the device says that it is not.
func (s *MailSettings) signed(profile []byte) []byte {
	if s.Certificate == nil {
		return profile
	}
	pair, err := s.Certificate()
	if err == nil && pair == nil {
		return profile
	}
	if err == nil {
		var content []byte
		if content, err = SignProfile(profile, pair); err == nil {
			return content
		}
	}
	s.Log.Warn("profile not signed", zap.Error(err))
	return profile
}

// SignProfile wraps a profile as signed data (RFC 5652 §5), with the chain of the
// certificate along so that devices find their way to a root.
func SignProfile(profile []byte, pair *tls.Certificate) ([]byte, error) {
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("signing a profile: %w", err)
		}
		chain = append(chain, c)
	}
	if len(chain) == 0 {
		return nil, errors.New("signing a profile: the certificate is empty")
	}
	signed, err := pkcs7.NewSignedData(profile)
	if err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256) // for SHA-1 unless told
	if err := signed.AddSigner(chain[0], pair.PrivateKey, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	for _, c := range chain[1:] {
		signed.AddCertificate(c)
	}
	return signed.Finish()
}

// Profile is a configuration profile for Apple's Mail, without the password:
// https://github.com/apple/device-management, mdm/profiles/com.apple.mail.managed.yaml.
// It is an error if an account cannot both read and send, which it has to.
func Profile(address string, services []MailService, local bool) ([]byte, error) {
	r := toldAt(local)
	incoming := slices.Concat(public(services, "imap", r), public(services, "pop3", r))
	outgoing := public(services, "smtp", r)
	if len(incoming) == 0 || len(outgoing) == 0 {
		return nil, errNotReachable
	}
	in, out := incoming[0], outgoing[0]
	kind := "EmailTypeIMAP"
	if in.Protocol == "pop3" {
		kind = "EmailTypePOP"
	}
	account := dictionary{
		"EmailAccountDescription": address, "EmailAccountType": kind, "EmailAddress": address,
		"IncomingMailServerAuthentication": "EmailAuthPassword", "OutgoingMailServerAuthentication": "EmailAuthPassword",
		"IncomingMailServerHostName": in.Host, "OutgoingMailServerHostName": out.Host,
		"IncomingMailServerPortNumber": in.Port, "OutgoingMailServerPortNumber": out.Port,
		"IncomingMailServerUseSSL": in.Security != proxy.Plain, "OutgoingMailServerUseSSL": out.Security != proxy.Plain,
		"IncomingMailServerUsername": address, "OutgoingMailServerUsername": address,
		"OutgoingPasswordSameAsIncomingPassword": true,
		"PayloadType":                            "com.apple.mail.managed", "PayloadVersion": 1, "PayloadDisplayName": address,
		"PayloadIdentifier": "authferry.mail." + profileID(address, "mail") + ".account", "PayloadUUID": profileID(address, "account"),
	}
	return dictionary{
		"PayloadType": "Configuration", "PayloadVersion": 1, "PayloadDisplayName": address,
		"PayloadDescription": "IMAP, POP3, SMTP: " + address,
		"PayloadIdentifier":  "authferry.mail." + profileID(address, "mail"), "PayloadUUID": profileID(address, "profile"),
		"PayloadContent": []dictionary{account},
	}.plist()
}

// profileID is a UUID (RFC 9562 §5.8) that is always the same for an address, so
// that a profile that is installed again takes the place of the old one.
func profileID(address, part string) string {
	u := sha256.Sum256([]byte("authferry " + part + " of " + address))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// dictionary is a property list's, of texts, whole numbers, flags, and lists of
// dictionaries.
type dictionary map[string]any

func (d dictionary) plist() ([]byte, error) {
	var b strings.Builder
	b.WriteString(xml.Header + `<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">` + "\n<plist version=\"1.0\">\n")
	if err := d.write(&b); err != nil {
		return nil, err
	}
	b.WriteString("</plist>\n")
	return []byte(b.String()), nil
}

func (d dictionary) write(b *strings.Builder) error {
	b.WriteString("<dict>\n")
	for _, key := range sortedKeys(d) {
		fmt.Fprintf(b, "<key>%s</key>\n", key)
		switch value := d[key].(type) {
		case string:
			b.WriteString("<string>")
			if err := xml.EscapeText(b, []byte(value)); err != nil {
				return err
			}
			b.WriteString("</string>\n")
		case int:
			fmt.Fprintf(b, "<integer>%d</integer>\n", value)
		case bool:
			fmt.Fprintf(b, "<%t/>\n", value)
		case []dictionary:
			b.WriteString("<array>\n")
			for _, d := range value {
				if err := d.write(b); err != nil {
					return err
				}
			}
			b.WriteString("</array>\n")
		default:
			return fmt.Errorf("a property list cannot hold %s as it is", key)
		}
	}
	b.WriteString("</dict>\n")
	return nil
}
