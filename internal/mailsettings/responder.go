package mailsettings

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"authferry/internal/address"
)

// Responder answers mail programs that look up the settings for the mailboxes of a
// domain:
//
//	GET  /mail/config-v1.1.xml, /.well-known/autoconfig/mail/config-v1.1.xml
//	     Thunderbird, K-9, Evolution, KMail
//	POST /autodiscover/autodiscover.xml
//	     Outlook
//	GET  /email.mobileconfig?email=ADDRESS
//	     Apple Mail on iPhone, iPad and Mac
//
// Anyone may ask, so that the answers reveal nothing about mailboxes: they are the
// same for every address of a domain, existing or not, and contain no password.
type Responder struct {
	Services func() []Service
	// Domains are the mail domains that are answered for, in lower case and in all
	// their forms.
	Domains func(context.Context) (map[string]bool, error)
	// Certificate signs profiles for Apple Mail; without one they are not signed.
	Certificate func() (*tls.Certificate, error)
	Log         *zap.Logger
}

// Mount adds the answers to a mux. Programs use host names such as
// autoconfig.example.com, so that no handler before it may check the host.
func (s *Responder) Mount(mux *http.ServeMux) {
	for _, path := range []string{"/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"} {
		mux.HandleFunc("GET "+path, s.answerAutoconfig)
	}
	// Exchange ignores case, and programs differ in it.
	for _, path := range []string{"/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AutoDiscover.xml"} {
		mux.HandleFunc("POST "+path, s.answerAutodiscover)
	}
	mux.HandleFunc("GET /email.mobileconfig", s.answerProfile)
}

// notServed is the answer for all that is not served.
const notServed = "there are no settings for mail programs under this address"

// serves reports whether a domain is answered for. If it is not, or if that is not
// known, serves has answered the request.
func (s *Responder) serves(w http.ResponseWriter, r *http.Request, domain string) bool {
	domains, err := s.Domains(r.Context())
	switch {
	case err != nil:
		s.Log.Warn("settings not served", zap.Error(err))
		http.Error(w, "the settings are not available now: try again later", http.StatusServiceUnavailable)
	case domain == "" || !domains[domain]:
		http.Error(w, notServed, http.StatusNotFound)
	default:
		return true
	}
	return false
}

// write sends an answer. It must not be cached: it is about an address.
func (s *Responder) write(w http.ResponseWriter, kind string, content []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if _, err := w.Write(content); err != nil {
		s.Log.Debug("settings not sent", zap.Error(err))
	}
}

// fromHere reports whether a program on this machine asks. Its address is not
// enough: a reverse proxy on this machine has a loopback address too. Some proxies
// also replace the host that was asked for, so that loopback services are named
// only if there are no others.
func fromHere(r *http.Request) bool {
	return address.IsLoopbackHost(r.RemoteAddr) && address.IsLoopbackHost(r.Host)
}

// hostOf returns the host that a request asks for, without its port.
func hostOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		return host
	}
	return r.Host
}

// answerProfile answers iPhones, iPads and Macs. The device asks for the password
// when the profile is installed.
func (s *Responder) answerProfile(w http.ResponseWriter, r *http.Request) {
	address := r.FormValue("email")
	if !s.serves(w, r, domainOf(address)) {
		return
	}
	content, err := Profile(address, s.Services(), fromHere(r))
	if err != nil {
		http.Error(w, notServed, http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Disposition", `attachment; filename="email.mobileconfig"`)
	s.write(w, "application/x-apple-aspen-config", s.signed(content))
}

// signed signs a profile with the certificate that mail programs see. An unsigned
// profile can be installed too; the device shows that it is not signed.
func (s *Responder) signed(profile []byte) []byte {
	if s.Certificate == nil {
		return profile
	}
	pair, err := s.Certificate()
	if err == nil && pair == nil {
		return profile
	}
	if err == nil {
		var content []byte
		if content, err = signProfile(profile, pair); err == nil {
			return content
		}
	}
	s.Log.Warn("profile not signed", zap.Error(err))
	return profile
}

// answerAutoconfig answers Thunderbird. A request to autoconfig.DOMAIN names the
// address; a request to DOMAIN does not, so that the host gives the domain.
func (s *Responder) answerAutoconfig(w http.ResponseWriter, r *http.Request) {
	domain := address.FoldDomain(strings.TrimPrefix(strings.ToLower(hostOf(r)), "autoconfig."))
	if address := r.FormValue("emailaddress"); address != "" {
		domain = domainOf(address)
	}
	if !s.serves(w, r, domain) {
		return
	}
	content, err := Autoconfig(domain, s.Services(), fromHere(r))
	if err != nil {
		http.Error(w, notServed, http.StatusNotFound)
		return
	}
	s.write(w, "application/xml; charset=utf-8", content)
}

// answerAutodiscover answers Outlook.
func (s *Responder) answerAutodiscover(w http.ResponseWriter, r *http.Request) {
	asked, err := readAutodiscover(http.MaxBytesReader(w, r.Body, maxDiscover))
	if err != nil {
		s.failAutodiscover(w, discoverInvalid, "Invalid Request")
		return
	}
	if asked.schema != "" && asked.schema != discoverResponse {
		// Telephones ask for ActiveSync first, and then for another schema.
		s.failAutodiscover(w, discoverUnsupported, "Provider is not available")
		return
	}
	if !s.serves(w, r, domainOf(asked.address)) {
		return
	}
	content, err := discoverAnswer(asked.address, s.Services(), reachOf(fromHere(r)))
	if err != nil {
		http.Error(w, notServed, http.StatusNotFound)
		return
	}
	s.write(w, "application/xml; charset=utf-8", content)
}

func (s *Responder) failAutodiscover(w http.ResponseWriter, code int, message string) {
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
