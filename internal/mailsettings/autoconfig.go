package mailsettings

import (
	"encoding/xml"

	"authferry/internal/protocol"
	"authferry/proxy"
)

// The format of Thunderbird's autoconfiguration, which others read too:
// https://www.ietf.org/archive/id/draft-ietf-mailmaint-autoconfig-00.html.
// Fields are in the order of its examples.
type clientConfig struct {
	XMLName  xml.Name `xml:"clientConfig"`
	Version  string   `xml:"version,attr"`
	Provider struct {
		ID        string           `xml:"id,attr"`
		Domain    string           `xml:"domain"`
		Name      string           `xml:"displayName"`
		ShortName string           `xml:"displayShortName"`
		Incoming  []autoconfigHost `xml:"incomingServer"`
		Outgoing  []autoconfigHost `xml:"outgoingServer"`
	} `xml:"emailProvider"`
}

type autoconfigHost struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           int    `xml:"port"`
	SocketType     string `xml:"socketType"`
	Username       string `xml:"username"`
	Authentication string `xml:"authentication"`
}

// socketTypes are the words of the format. For a service with both kinds of TLS it
// is the better one.
var socketTypes = map[proxy.Security]string{
	proxy.Implicit: "SSL", proxy.Either: "SSL", proxy.StartTLS: "STARTTLS", proxy.Plain: "plain",
}

// Autoconfig returns the file that Thunderbird reads for a domain. It can also be
// put into Thunderbird's own directory, as isp/DOMAIN.xml. It is an error if there
// is no service to read mail.
func Autoconfig(domain string, services []Service, local bool) ([]byte, error) {
	r := reachOf(local)
	c := clientConfig{Version: "1.1"}
	c.Provider.ID, c.Provider.Domain, c.Provider.Name, c.Provider.ShortName = domain, domain, domain, domain
	for _, p := range []protocol.Protocol{protocol.IMAP, protocol.POP3} { // Thunderbird takes the first of its choice
		c.Provider.Incoming = append(c.Provider.Incoming, autoconfigHosts(public(services, p, r))...)
	}
	c.Provider.Outgoing = autoconfigHosts(public(services, protocol.SMTP, r))
	if len(c.Provider.Incoming) == 0 {
		return nil, errNoServer
	}
	return marshalXML(c)
}

func autoconfigHosts(services []Service) (hosts []autoconfigHost) {
	for _, s := range services {
		hosts = append(hosts, autoconfigHost{
			Type: string(s.Protocol), Hostname: s.Host, Port: s.Port, SocketType: socketTypes[s.Security],
			Username:       "%EMAILADDRESS%", // the program fills it in
			Authentication: "password-cleartext",
		})
	}
	return hosts
}

func marshalXML(v any) ([]byte, error) {
	content, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(content, '\n')...), nil
}
