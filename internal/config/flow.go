package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"authferry/internal/config/document"
	"authferry/internal/hint"
	"authferry/tokens/oauth"
)

// flowOf names the flow that a key is there for, where it is there for one.
var flowOf = []struct {
	key  string
	flow oauth.Flow
}{
	{"service_account_file", oauth.FlowServiceAccount},
	{"token_command", oauth.FlowTokenCommand},
	// A confidential client may have a certificate too, if it says so.
	{"certificate_file", oauth.FlowClientCredentials},
}

// readFlow reads how a provider gives tokens: by name, or by what was given to
// prove who is asking.
func readFlow(t *document.Table, p *oauth.Provider) {
	named := oauth.Flow(strings.ToLower(t.Text("flow", "")))
	switch {
	case named == "":
		for _, f := range flowOf {
			if t.Gives(f.key) {
				p.Flow = f.flow
				break
			}
		}
	case !slices.Contains(oauth.Flows, named):
		names := make([]string, len(oauth.Flows))
		for i, f := range oauth.Flows {
			names[i] = string(f)
		}
		advice := "one of " + strings.Join(names, ", ")
		if n := hint.Suggest(string(named), names); n != "" {
			advice = fmt.Sprintf("did you mean %s?", n)
		}
		t.Complain("flow", "unknown flow", advice)
	default:
		p.Flow = named
	}
	refuseStrays(t, p.Flow)
}

// refuseStrays complains about keys that a flow does not use: the administrator
// expects an effect of them.
func refuseStrays(t *document.Table, flow oauth.Flow) {
	for _, f := range flowOf {
		if f.key == "certificate_file" || flow == f.flow || !t.Gives(f.key) {
			continue
		}
		t.Complain(f.key, fmt.Sprintf("belongs to the flow %s, and the flow here is %s", f.flow, FlowName(flow)), "keep one of the two")
	}
	if flow != oauth.FlowServiceAccount && flow != oauth.FlowTokenCommand {
		return
	}
	for _, key := range []string{"client_id", "client_secret", "client_secret_file", "client_file", "certificate_file", "certificate_key_file"} {
		if t.Gives(key) {
			t.Complain(key, fmt.Sprintf("the flow %s has no OAuth client", flow), "remove the key, or the one that chose the flow")
		}
	}
}

func FlowName(f oauth.Flow) oauth.Flow {
	if f == "" {
		return oauth.FlowConsent
	}
	return f
}

// commonTenant stands in Microsoft's addresses for the organisation of the
// person who signs in. There are two more such words.
const commonTenant = "common"

var anyTenant = regexp.MustCompile(`/(common|organizations|consumers)/`)

var tenantName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)

// readAddresses reads the addresses of a provider's OAuth service.
func readAddresses(t *document.Table, p *profile) {
	readTenant(t, p)
	if t.Text("auth_url", "") != "" {
		p.Issuer = "" // that of another consent page
	}
	p.Issuer = t.Text("issuer", p.Issuer)
	p.AuthURL = readOAuthURL(t, "auth_url", p.AuthURL)
	before := p.TokenURL
	p.TokenURL = readOAuthURL(t, "token_url", p.TokenURL)
	if host(before) != host(p.TokenURL) {
		// Tokens of one service are not for the eyes of another.
		p.DeviceURL, p.RevokeURL, p.UserInfoURL = "", "", ""
	}
	p.DeviceURL = readOAuthURL(t, "device_url", p.DeviceURL)
	p.RevokeURL = readOAuthURL(t, "revoke_url", p.RevokeURL)
	p.UserInfoURL = readOAuthURL(t, "userinfo_url", p.UserInfoURL)
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Host)
}

// readTenant puts an organisation into Microsoft's addresses.
func readTenant(t *document.Table, p *profile) {
	tenant := t.Text("tenant", "")
	if tenant == "" {
		return
	}
	if !tenantName.MatchString(tenant) {
		t.Complain("tenant", "must be the id or a domain of the organisation", `such as "contoso.onmicrosoft.com"`)
		return
	}
	placed := false
	for _, address := range []*string{&p.AuthURL, &p.TokenURL, &p.DeviceURL} {
		with := strings.Replace(*address, "/"+p.tenant+"/", "/"+tenant+"/", 1)
		placed = placed || with != *address || p.tenant == tenant
		*address = with
	}
	if !placed {
		t.Complain("tenant", "the addresses of this provider have no place for a tenant", `like = "microsoft" begins with Microsoft's, which have`)
	}
	p.tenant = tenant
}

// microsoftApp is the scope of an application at Microsoft: all that it was
// granted.
// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth
var microsoftApp = []string{"https://outlook.office365.com/.default"}

// readScopes reads the scopes. Microsoft has different ones for applications
// and for people.
func readScopes(t *document.Table, p *profile) {
	if scopes := t.Texts("scopes"); scopes != nil {
		p.Scopes = scopes
		return
	}
	if p.family != "microsoft" {
		return
	}
	personal := oauth.Builtin()["microsoft"].Scopes
	switch {
	case p.Flow == oauth.FlowClientCredentials && slices.Equal(p.Scopes, personal):
		p.Scopes = microsoftApp
	case p.Flow.NeedsPerson() && slices.Equal(p.Scopes, microsoftApp):
		p.Scopes = personal
	}
}

// readEnough complains about missing keys that a provider requires.
func readEnough(t *document.Table, p *oauth.Provider) {
	const see = "see the provider's page on OAuth for its address"
	need := func(key, value, hint string) {
		if value == "" && !t.Has(key) {
			t.Complain(key, "missing", hint)
		}
	}
	switch FlowName(p.Flow) {
	case oauth.FlowConsent:
		needClient(t, p)
		need("auth_url", p.AuthURL, see)
	case oauth.FlowDeviceCode:
		needClient(t, p)
		if host(p.TokenURL) == host(oauth.Builtin()["gmail"].TokenURL) {
			see := "use the flow consent: authferry connect --no-browser needs no browser on this machine"
			need("device_url", p.DeviceURL, "Google gives no device code for mail, it refuses the scope; "+see)
		} else {
			need("device_url", p.DeviceURL, see)
		}
	case oauth.FlowServiceAccount:
		if p.ServiceAccount == nil {
			need("service_account_file", "", "add a key to the service account in Google's console, and name the JSON that it offers")
		}
	case oauth.FlowClientCredentials:
		needClient(t, p)
		if p.ClientSecret.Empty() && p.Certificate == nil && !t.Has("certificate_file") && !t.Has("certificate_key_file") && !t.Has("client_file") {
			need("client_secret", "", "an application proves itself by client_secret, client_secret_file, or certificate_file and certificate_key_file")
		}
		if anyTenant.MatchString(p.TokenURL) {
			need("tenant", "", "an application belongs to one organisation, so Microsoft must be told which: its id, or a domain of it")
		}
	case oauth.FlowTokenCommand:
		need("token_command", strings.Join(p.TokenCommand, " "), "name the program that prints a token, and its arguments")
	}
	if p.Flow != oauth.FlowTokenCommand {
		need("token_url", p.TokenURL, see)
	}
	if p.IMAP.Host+p.POP3.Host+p.SMTP.Host == "" && !t.Has("imap") && !t.Has("pop3") && !t.Has("smtp") {
		t.Complain("imap", "no mail server named", `at least one of imap, pop3 and smtp, such as "imaps://imap.example.org"`)
	}
}

func needClient(t *document.Table, p *oauth.Provider) {
	if p.ClientID == "" && t.Text("client_file", "") == "" {
		t.Complain("client_id", "missing", "make an OAuth client at the provider, and name it here or by client_file")
	}
}
