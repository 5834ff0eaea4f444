package mailsettings

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/smallstep/pkcs7"
	"rsc.io/qr"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// errNoServer reports that no listener suits a program.
var errNoServer = errors.New("there is no listener that such a program could connect to")

// signProfile wraps a profile as signed data (RFC 5652 §5). It includes the
// certificate's chain, so that devices find a root.
func signProfile(profile []byte, pair *tls.Certificate) ([]byte, error) {
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
	signed.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256) // the default is SHA-1
	if err := signed.AddSigner(chain[0], pair.PrivateKey, pkcs7.SignerInfoConfig{}); err != nil {
		return nil, fmt.Errorf("signing a profile: %w", err)
	}
	for _, c := range chain[1:] {
		signed.AddCertificate(c)
	}
	return signed.Finish()
}

// Profile returns a configuration profile for Apple Mail, without the password:
// https://github.com/apple/device-management, mdm/profiles/com.apple.mail.managed.yaml.
// An account has to both read and send, so that it is an error if one cannot.
func Profile(address string, services []Service, local bool) ([]byte, error) {
	r := reachOf(local)
	incoming := slices.Concat(public(services, protocol.IMAP, r), public(services, protocol.POP3, r))
	outgoing := public(services, protocol.SMTP, r)
	if len(incoming) == 0 || len(outgoing) == 0 {
		return nil, errNoServer
	}
	in, out := incoming[0], outgoing[0]
	kind := "EmailTypeIMAP"
	if in.Protocol == protocol.POP3 {
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

// profileID returns a UUID (RFC 9562 §5.8) that is always the same for an address,
// so that a profile that is installed again replaces the old one.
func profileID(address, part string) string {
	u := sha256.Sum256([]byte("authferry " + part + " of " + address))
	u[6], u[8] = u[6]&0x0f|0x80, u[8]&0x3f|0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

// dictionary is that of a property list: strings, integers, booleans, and lists of
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
			return fmt.Errorf("making a property list: the value of %s has no type of it", key)
		}
	}
	b.WriteString("</dict>\n")
	return nil
}

// quietZone is the white border that readers need around a QR code, in modules:
// ISO/IEC 18004 §9.1.
const quietZone = 4

// QRCode returns a QR code of a text, such as a profile's URL, as SVG. It is always
// dark on white, since readers fail at the opposite.
func QRCode(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("making a QR code: %w", err)
	}
	var b strings.Builder
	size := code.Size + 2*quietZone
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h%[1]dv%[1]dH0z"/><path d="`, size, size)
	for y := range code.Size {
		for x := 0; x < code.Size; x++ {
			run := 0
			for x+run < code.Size && code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&b, "M%d %dh%dv1h-%dz", x+quietZone, y+quietZone, run, run)
				x += run
			}
		}
	}
	b.WriteString(`"/></svg>`)
	return []byte(b.String()), nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
