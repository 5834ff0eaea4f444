package mailsettings

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"authferry/proxy"
)

const discoverPath = "/autodiscover/autodiscover.xml"

// discoverBody is what Outlook sends.
func discoverBody(address string) string {
	return `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006">` +
		`<Request><EMailAddress>` + address + `</EMailAddress><AcceptableResponseSchema>` + discoverResponse + `</AcceptableResponseSchema></Request></Autodiscover>`
}

// TestAutodiscover: the answer to Outlook has the elements in the order of its schema.
func TestAutodiscover(t *testing.T) {
	protocol := func(kind, port, ssl, encryption, more string) string {
		return `<Protocol><Type>` + kind + `</Type><Server>mail.example.com</Server><Port>` + port + `</Port><DomainRequired>off</DomainRequired>` +
			`<LoginName>o&#39;brien@example.com</LoginName><SPA>off</SPA><SSL>` + ssl + `</SSL><Encryption>` + encryption + `</Encryption><AuthRequired>on</AuthRequired>` + more + `</Protocol>`
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>` +
		`<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">` +
		`<Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">` +
		`<User><DisplayName>o&#39;brien@example.com</DisplayName></User>` +
		`<Account><AccountType>email</AccountType><Action>settings</Action>` +
		protocol("IMAP", "993", "on", "SSL", "") + protocol("POP3", "995", "on", "SSL", "") +
		protocol("SMTP", "465", "on", "SSL", "<UsePOPAuth>on</UsePOPAuth><SMTPLast>off</SMTPLast>") +
		`</Account></Response></Autodiscover>`
	for _, path := range []string{discoverPath, "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"} {
		w := askSettings(mailSettings(everyService), "POST", path, discoverBody("o'brien@example.com"))
		if got := unindented(w.Body.String()); w.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d\n%s\ninstead of\n%s", path, w.Code, got, want)
		}
	}
	if w := askSettings(mailSettings(everyService), "GET", discoverPath, ""); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	for security, want := range map[proxy.Security]string{
		proxy.Plain: "<SSL>off</SSL><Encryption>None</Encryption>", proxy.StartTLS: "<SSL>on</SSL><Encryption>TLS</Encryption>",
	} {
		services := []Service{{Protocol: "imap", Host: "mail.example.com", Port: 143, Security: security}}
		if w := askSettings(mailSettings(services), "POST", discoverPath, discoverBody("x@example.com")); !strings.Contains(unindented(w.Body.String()), want) {
			t.Errorf("%d: %s", security, w.Body)
		}
	}
	if w := askSettings(mailSettings(everyService[7:]), "POST", discoverPath, discoverBody("x@example.com")); w.Code != http.StatusNotFound {
		t.Errorf("nothing to read mail by: %d %s", w.Code, w.Body)
	}
}

// unindented is XML without the space between its elements.
func unindented(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

// TestAutodiscoverRefused: other requests get the error codes of the format, and
// entities are not expanded.
func TestAutodiscoverRefused(t *testing.T) {
	whole := discoverBody("you@example.com")
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"nothing":      {"", discoverInvalid},
		"no XML":       {"you@example.com", discoverInvalid},
		"cut":          {whole[:len(whole)-5], discoverInvalid},
		"no address":   {discoverBody(""), discoverInvalid},
		"entity":       {strings.Replace(whole, "<Autodiscover", `<!DOCTYPE a [<!ENTITY e "you@example.com">]><Autodiscover`, 1), discoverInvalid},
		"used entity":  {discoverBody("&e;"), discoverInvalid},
		"too long":     {discoverBody(strings.Repeat(" ", maxDiscover) + "you@example.com"), discoverInvalid},
		"too deep":     {strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100), discoverInvalid},
		"telephone":    {strings.Replace(whole, "outlook/responseschema/2006a", "mobilesync/responseschema/2006", 1), discoverUnsupported},
		"UTF-16":       {strings.Replace(whole, "utf-8", "utf-16", 1), discoverInvalid},
		"two of them?": {strings.Replace(whole, "</Request>", "<EMailAddress>@example.org</EMailAddress></Request>", 1), discoverInvalid},
	} {
		w := askSettings(mailSettings(everyService), "POST", discoverPath, c.body)
		var answer struct {
			XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
			Response discoverFailure
		}
		if err := xml.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK || answer.Response.Error.Code != c.code || answer.Response.Error.Time == "" {
			t.Errorf("%s: %d %v %s", name, w.Code, err, w.Body)
		}
	}
	manual := strings.Replace(whole, discoverResponse, "https"+discoverResponse[len("http"):], 1)
	if w := askSettings(mailSettings(everyService), "POST", discoverPath, manual); !strings.Contains(w.Body.String(), "<Port>993</Port>") {
		t.Errorf("the namespace as the manual has it: %d %s", w.Code, w.Body)
	}
}

// FuzzAutodiscover: a request that is accepted has a mail address, and the answer has
// the same one.
func FuzzAutodiscover(f *testing.F) {
	f.Add([]byte(discoverBody("you@example.com")))
	f.Add([]byte(discoverBody("o'b&amp;rien@münchen.de")))
	f.Add([]byte(`<!DOCTYPE a [<!ENTITY e "x">]><Autodiscover><Request><EMailAddress>&e;</EMailAddress></Request></Autodiscover>`))
	f.Add([]byte(`<Autodiscover><Request><EMailAddress><![CDATA[a@b]]></EMailAddress></Request></Autodiscover>`))
	f.Fuzz(func(t *testing.T, body []byte) {
		asked, err := readAutodiscover(strings.NewReader(string(body)))
		if err != nil {
			return
		}
		if domainOf(asked.address) == "" {
			t.Fatalf("%q is no address", asked.address)
		}
		content, err := discoverAnswer(asked.address, everyService, elsewhere)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Names []string `xml:"Response>Account>Protocol>LoginName"`
		}
		if err := xml.Unmarshal(content, &answer); err != nil {
			t.Fatalf("%v in %s", err, content)
		}
		if want := fmt.Sprintf("%[1]q %[1]q %[1]q", asked.address); fmt.Sprintf("%q %q %q", answer.Names[0], answer.Names[1], answer.Names[2]) != want {
			t.Fatalf("%q instead of %s", answer.Names, want)
		}
	})
}
