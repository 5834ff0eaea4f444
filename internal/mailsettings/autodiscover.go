package mailsettings

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"authferry/proxy"
)

// Outlook's Autodiscover, in its form with plain XML:
// https://learn.microsoft.com/exchange/client-developer/web-service-reference/pox-autodiscover-web-service-reference-for-exchange
// That manual prints the namespaces with https://. Outlook sends them and
// expects them with http://, as everybody who answers it has found.
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

// maxDiscover bounds a request, which takes some 400 bytes.
const maxDiscover = 16 << 10

// answerAutodiscover answers Outlook.
func (s *MailSettings) answerAutodiscover(w http.ResponseWriter, r *http.Request) {
	asked, err := readAutodiscover(http.MaxBytesReader(w, r.Body, maxDiscover))
	if err != nil {
		s.failAutodiscover(w, discoverInvalid, "Invalid Request")
		return
	}
	if asked.schema != "" && asked.schema != discoverResponse {
		// Telephones ask so for ActiveSync, and then for something else.
		s.failAutodiscover(w, discoverUnsupported, "Provider is not available")
		return
	}
	if !s.serves(w, r, domainOf(asked.address)) {
		return
	}
	content, err := discoverAnswer(asked.address, s.Services(), toldAt(askedHere(r)))
	if err != nil {
		http.Error(w, refusedSettings, http.StatusNotFound)
		return
	}
	s.write(w, "application/xml; charset=utf-8", content)
}

func (s *MailSettings) failAutodiscover(w http.ResponseWriter, code int, message string) {
	failure := discoverFailure{}
	failure.Error.Time, failure.Error.ID = time.Now().UTC().Format("15:04:05.0000000"), "1" // which of Exchange's servers failed
	failure.Error.Code, failure.Error.Message = code, message
	content, err := marshalXML(autodiscover{Response: &failure})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.write(w, "application/xml; charset=utf-8", content) // with 200, as Exchange does
}

// discovering is what Outlook asks.
type discovering struct {
	address string
	schema  string // of the answer; "" leaves it to us
}

// readAutodiscover reads a request. Names are told apart without their
// namespaces, which programs send in several forms. Document types are refused:
// nothing that needs one belongs here, entities least of all.
func readAutodiscover(body io.Reader) (asked discovering, err error) {
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
	// Some send the namespace as the manual has it.
	asked.schema = strings.Replace(asked.schema, "https://schemas.microsoft.com/", "http://schemas.microsoft.com/", 1)
	if domainOf(asked.address) == "" {
		return asked, errors.New("reading an autodiscover request: it names no mail address")
	}
	return asked, nil
}

// discoverAnswer tells of the services. Where Encryption is not known, in
// Outlook before 2010, SSL decides.
func discoverAnswer(address string, services []MailService, r reach) ([]byte, error) {
	account := &discoverAccount{User: address, Type: "email", Action: "settings"}
	reads := false
	for _, protocol := range []string{"imap", "pop3", "smtp"} {
		list := public(services, protocol, r)
		if len(list) == 0 {
			continue
		}
		reads = reads || protocol != "smtp"
		account.Protocols = append(account.Protocols, discoverService(address, list[0]))
	}
	if !reads {
		return nil, errNotReachable
	}
	return marshalXML(autodiscover{Account: account})
}

func discoverService(address string, s MailService) discoverProtocol {
	p := discoverProtocol{
		Type: strings.ToUpper(s.Protocol), Server: s.Host, Port: s.Port, DomainRequired: "off", LoginName: address,
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
	if s.Protocol == "smtp" {
		p.UsePOPAuth, p.SMTPLast = "on", "off"
	}
	return p
}
