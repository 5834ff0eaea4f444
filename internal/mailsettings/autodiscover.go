package mailsettings

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// Outlook's Autodiscover, in its form with plain XML:
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-web-service-reference-for-exchange
// That manual prints the namespaces with https://. Outlook sends and expects them
// with http://.
const discoverResponse = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"

type autodiscover struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Account  *discoverAccount
	Response *discoverFailure `xml:"Response"`
}

type discoverAccount struct {
	XMLName   xml.Name           `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
	User      string             `xml:"User>DisplayName"`
	Type      string             `xml:"Account>AccountType"`
	Action    string             `xml:"Account>Action"`
	Protocols []discoverProtocol `xml:"Account>Protocol"`
}

type discoverProtocol struct {
	Type           string
	Server         string
	Port           int
	DomainRequired string
	LoginName      string
	SPA            string
	SSL            string
	Encryption     string
	AuthRequired   string
	UsePOPAuth     string `xml:",omitempty"`
	SMTPLast       string `xml:",omitempty"`
}

type discoverFailure struct {
	Error struct {
		Time    string `xml:",attr"`
		ID      string `xml:"Id,attr"`
		Code    int    `xml:"ErrorCode"`
		Message string
		Debug   string `xml:"DebugData"`
	}
}

// The failures of the format.
const (
	discoverInvalid     = 600
	discoverUnsupported = 601
)

// maxDiscover bounds a request, which has some 400 bytes.
const maxDiscover = 16 << 10

// discoverRequest is what Outlook asks for.
type discoverRequest struct {
	address string
	schema  string // of the answer; "" leaves the choice
}

// readAutodiscover reads a request. It ignores namespaces, which programs send in
// several forms. It refuses document types, which no request needs: they may define
// entities.
func readAutodiscover(body io.Reader) (asked discoverRequest, err error) {
	decoder := xml.NewDecoder(body)
	var path []string
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return asked, fmt.Errorf("reading an autodiscover request: %w", err)
		}
		switch token := token.(type) {
		case xml.Directive:
			return asked, errors.New("reading an autodiscover request: it has a document type")
		case xml.StartElement:
			if path = append(path, token.Name.Local); len(path) > 8 {
				return asked, errors.New("reading an autodiscover request: it is nested too deeply")
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			switch strings.Join(path, "/") {
			case "Autodiscover/Request/EMailAddress":
				asked.address += string(token)
			case "Autodiscover/Request/AcceptableResponseSchema":
				asked.schema += string(token)
			}
		}
	}
	asked.address, asked.schema = strings.TrimSpace(asked.address), strings.TrimSpace(asked.schema)
	// Some programs send the namespace as the manual prints it.
	asked.schema = strings.Replace(asked.schema, "https://schemas.microsoft.com/", "http://schemas.microsoft.com/", 1)
	if domainOf(asked.address) == "" {
		return asked, errors.New("reading an autodiscover request: it names no mail address")
	}
	return asked, nil
}

// discoverAnswer returns the answer with the services. Outlook before 2010 does not
// know Encryption and reads SSL instead.
func discoverAnswer(address string, services []Service, r reach) ([]byte, error) {
	account := &discoverAccount{User: address, Type: "email", Action: "settings"}
	reads := false
	for _, p := range protocol.All {
		list := public(services, p, r)
		if len(list) == 0 {
			continue
		}
		reads = reads || p != protocol.SMTP
		account.Protocols = append(account.Protocols, discoverService(address, list[0]))
	}
	if !reads {
		return nil, errNoServer
	}
	return marshalXML(autodiscover{Account: account})
}

func discoverService(address string, s Service) discoverProtocol {
	p := discoverProtocol{
		Type: s.Protocol.Upper(), Server: s.Host, Port: s.Port, DomainRequired: "off", LoginName: address,
		SPA: "off", // NTLM, for which the password would have to be kept
		SSL: "on", AuthRequired: "on",
	}
	switch s.Security {
	case proxy.Plain:
		p.SSL, p.Encryption = "off", "None"
	case proxy.StartTLS:
		p.Encryption = "TLS"
	default:
		p.Encryption = "SSL"
	}
	if s.Protocol == protocol.SMTP {
		p.UsePOPAuth, p.SMTPLast = "on", "off"
	}
	return p
}
