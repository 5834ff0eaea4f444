package oauth

import (
	"authferry/internal/secret"
	"authferry/tokens/oauth/oauthtest"
)

const me = oauthtest.Mailbox

// fakeProvider returns a Provider that uses this endpoint.
func fakeProvider(f *oauthtest.Endpoint) *Provider {
	return &Provider{
		Name: "fake", AuthURL: f.URL + "/auth", TokenURL: f.URL + "/token", ClientID: "client", ClientSecret: "secret-CANARY-client",
		Scopes: []string{"https://mail.google.com/"}, RedirectHost: "127.0.0.1", RefreshAhead: DefaultRefreshAhead,
	}
}

// googleApp returns a Provider whose service account this endpoint knows.
func googleApp(j *oauthtest.AppEndpoint) *Provider {
	return &Provider{
		Name: "workspace", Flow: FlowServiceAccount, TokenURL: j.URL + "/token", Scopes: []string{oauthtest.MailIs},
		ServiceAccount: &ServiceAccount{Email: oauthtest.Robot, KeyID: oauthtest.RobotKey, Client: oauthtest.RobotID, Key: oauthtest.TestKey()},
	}
}

// microsoftApp returns a Provider whose client and secret this endpoint knows.
func microsoftApp(j *oauthtest.AppEndpoint) *Provider {
	return &Provider{
		Name: "app", Flow: FlowClientCredentials, TokenURL: j.URL + "/token", Scopes: []string{"https://outlook.office365.com/.default"},
		ClientID: "client", ClientSecret: secret.String(j.Secret),
	}
}
