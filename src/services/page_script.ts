/** The script of the page (page.ts): asks /api/status each second and shows it. ASCII, no backquote, no ${. */
export const PAGE_SCRIPT = `
"use strict";
var T={en:{
power:"Power now",phase:"Phase",watts:"Power",volts:"Voltage",amps:"Current",devices:"Devices",link:"Connections",events:"Last events",
from:"from the grid",to:"to the grid",idle:"in balance with the grid",room:"{w} of {l} in use",
none:"No limit is in force. Only your main fuse counts.",
imp:"At most {w} from the grid{t}, {y}.",exp:"At most {w} to the grid{t}, {y}.",con:"The controlled devices together use at most {w}{t}, {y}.",pro:"Solar panels and battery together deliver at most {w}{t}, {y}.",
until:" until {c}",next:"Next: at most {w} {d} from {a} to {b}.",
ask:"Asking the controller ...",gone:"The controller has not answered since {c}. Nothing below is current.",never:"The controller does not answer.",
meter_stale:"The smart meter is silent. Devices are at their safe values.",meter_never:"No data from the smart meter yet. Devices are at their safe values.",meter_ageing:"The smart meter is late.",
y:{cap:"because your grid operator asks for it",release:"because a limit has ended and power returns gradually",contact:"because a relay of your grid operator asks for it",failsafe:"because nothing valid has been heard from your grid operator",start:"because the controller has just started",voltage:"because the mains voltage is outside its normal range",tariff:"to keep your quarter-hour peak low",owner:"because you set this limit",static:"because there is no link to your grid operator",connection:"because your connection allows no more",fuse:"because of your main fuse"},
r:{asked_in_full:"Gets what it asks for",limited:"Limited",below_minimum:"Too little room for its minimum: off",waits_start:"Waits until there is room for a while",waits_off_time:"Rests before it starts again",on_time:"Kept on at its minimum for a while",rising:"Rising slowly",overload:"Turned down: the limit was exceeded",unused:"Uses less than it may",meter_stale:"Safe value: the meter is silent",meter_never:"Safe value: no meter yet",meter_ageing:"Does not rise: the meter is late",offline:"Does not answer",not_wanted:"Wants nothing now",surplus:"Uses surplus solar power",blocked:"Paused to stay under the limit",block_spent:"Runs: its pauses for today are used up",block_minimum:"Pause under way",block_apart:"Runs: too soon for another pause",covers_shortage:"Discharges to stay under the limit"},
k:{ev:"Car charger",battery:"Battery",inverter:"Solar panels",heat_pump:"Heat pump"},
sg:["","paused","normal","encouraged","forced on"],off:"off",most:"at most ",of:" of ",now:"uses",gives:"delivers",fault:"Fault",offline:"offline",
op:"Grid operator",mq:"Broker",me:"Smart meter",clock:"Clock",
s:{start:"waiting for first word",controlled:"connected, no limit",limited:"connected, limit in force",failsafe:"not heard: failsafe",autonomous:"not heard: autonomous"},no:"not set up",up:"connected",down:"not connected",
f:{fresh:"live",ageing:"late",stale:"silent",never:"no data yet"},noclock:"not known yet",nil:"None."},
nl:{
power:"Vermogen nu",phase:"Fase",watts:"Vermogen",volts:"Spanning",amps:"Stroom",devices:"Apparaten",link:"Verbindingen",events:"Laatste gebeurtenissen",
from:"van het net",to:"naar het net",idle:"in balans met het net",room:"{w} van {l} in gebruik",
none:"Er geldt geen beperking. Alleen uw hoofdzekering telt.",
imp:"Hoogstens {w} van het net{t}, {y}.",exp:"Hoogstens {w} naar het net{t}, {y}.",con:"De geregelde apparaten gebruiken samen hoogstens {w}{t}, {y}.",pro:"Zonnepanelen en batterij leveren samen hoogstens {w}{t}, {y}.",
until:" tot {c}",next:"Straks: hoogstens {w} {d} van {a} tot {b}.",
ask:"De regelaar wordt bevraagd ...",gone:"De regelaar antwoordt niet sinds {c}. Niets hieronder is actueel.",never:"De regelaar antwoordt niet.",
meter_stale:"De slimme meter zwijgt. De apparaten staan op hun veilige stand.",meter_never:"Nog geen gegevens van de slimme meter. De apparaten staan op hun veilige stand.",meter_ageing:"De slimme meter is laat.",
y:{cap:"omdat uw netbeheerder daarom vraagt",release:"omdat een beperking is afgelopen en het vermogen geleidelijk terugkomt",contact:"omdat een relais van uw netbeheerder daarom vraagt",failsafe:"omdat er niets geldigs van uw netbeheerder is gehoord",start:"omdat de regelaar net is gestart",voltage:"omdat de netspanning buiten haar normale bereik is",tariff:"om uw kwartierpiek laag te houden",owner:"omdat u deze grens hebt ingesteld",static:"omdat er geen verbinding met uw netbeheerder is",connection:"omdat uw aansluiting niet meer toelaat",fuse:"vanwege uw hoofdzekering"},
r:{asked_in_full:"Krijgt wat het vraagt",limited:"Beperkt",below_minimum:"Te weinig ruimte voor het minimum: uit",waits_start:"Wacht tot er een tijdje ruimte is",waits_off_time:"Rust voordat het weer start",on_time:"Blijft nog even aan op het minimum",rising:"Gaat langzaam omhoog",overload:"Teruggeregeld: de grens was overschreden",unused:"Gebruikt minder dan het mag",meter_stale:"Veilige stand: de meter zwijgt",meter_never:"Veilige stand: nog geen meter",meter_ageing:"Gaat niet omhoog: de meter is laat",offline:"Antwoordt niet",not_wanted:"Wil nu niets",surplus:"Gebruikt zonneoverschot",blocked:"Gepauzeerd om onder de grens te blijven",block_spent:"Loopt door: de pauzes van vandaag zijn op",block_minimum:"Pauze loopt",block_apart:"Loopt door: te snel voor een nieuwe pauze",covers_shortage:"Ontlaadt om onder de grens te blijven"},
k:{ev:"Laadpaal",battery:"Thuisbatterij",inverter:"Zonnepanelen",heat_pump:"Warmtepomp"},
sg:["","gepauzeerd","normaal","aangemoedigd","gedwongen aan"],off:"uit",most:"hoogstens ",of:" van ",now:"gebruikt",gives:"levert",fault:"Storing",offline:"offline",
op:"Netbeheerder",mq:"Broker",me:"Slimme meter",clock:"Klok",
s:{start:"wacht op eerste bericht",controlled:"verbonden, geen beperking",limited:"verbonden, beperking van kracht",failsafe:"niet gehoord: failsafe",autonomous:"niet gehoord: autonoom"},no:"niet ingesteld",up:"verbonden",down:"niet verbonden",
f:{fresh:"actueel",ageing:"laat",stale:"zwijgt",never:"nog geen gegevens"},noclock:"nog niet bekend",nil:"Geen."}};
var DASH="\\u2013",lang,last=null,heard=0,failed=false,memo={};
try{lang=localStorage.getItem("lang")}catch(e){}
if(lang!=="nl"&&lang!=="en")lang=/^nl/i.test(navigator.language)?"nl":"en";
function $(id){return document.getElementById(id)}
function put(node,text){if(node.textContent!==text)node.textContent=text}
function say(id,text){put($(id),text);$(id).hidden=!text}
function fill(text,values){return text.replace(/\\{(.)\\}/g,function(all,key){return values[key]===undefined?all:values[key]})}
function num(n,digits){return n.toLocaleString(lang,{maximumFractionDigits:digits})}
function watts(n){return n===null?DASH:Math.abs(n)<1000?num(n,0)+" W":num(n/1000,2)+" kW"}
function amps(n){return n===null?DASH:num(n/1000,1)+" A"}
function volts(n){return n===null?DASH:num(n/1000,1)+" V"}
function clock(s){var d=new Date(s*1000),o={hour:"2-digit",minute:"2-digit"};if(d.toDateString()!==new Date().toDateString())o.weekday="short";return d.toLocaleTimeString(lang,o)}
function add(parent,name,text,cls){var e=document.createElement(name);if(text!==undefined)e.textContent=text;if(cls)e.className=cls;parent.appendChild(e);return e}
function list(id,data){var e=$(id),k=lang+JSON.stringify(data);if(memo[id]===k)return null;memo[id]=k;e.textContent="";return e}
function sentence(template,l,t){return l?fill(template,{w:watts(l.watts),t:l.until?fill(t.until,{c:clock(l.until)}):"",y:t.y[l.source]||l.words}):""}
function limits(s,t){
var l=s.limits,r=s.reading,lines=[sentence(t.imp,l.import,t),sentence(t.con,l.controllable,t),sentence(t.exp,l.export,t),sentence(t.pro,l.production,t)].filter(Boolean);
var hard=[l.import,l.controllable,l.export,l.production].some(function(x){return x&&x.source!=="fuse"&&x.source!=="connection"});
var level=hard?"warn":"";
if(!lines.length)lines.push(t.none);
var meter=t["meter_"+r.freshness]||"";
if(meter){lines.unshift(meter);level=r.freshness==="ageing"?"warn":"bad"}
if(l.next){var n=l.next,w=n.importLimit!==null;lines.push(fill(t.next,{w:watts(w?n.importLimit:n.exportLimit),d:w?t.from:t.to,a:clock(n.start),b:clock(n.end)}))}
$("say").className="say wide "+level;
say("say1",lines[0]);say("say2",lines[1]||"");say("say3",lines.slice(2).join(" "));
}
function power(s,t){
var r=s.reading,n=r.net,b=$("bar"),own=n===null?null:Math.abs(n),l=n!==null&&n<0?s.limits.export:s.limits.import;
put($("net"),watts(own));put($("direction"),n===null?"":n>0?t.from:n<0?t.to:t.idle);
var show=l&&own!==null;b.hidden=!show;say("room",show?fill(t.room,{w:watts(own),l:watts(l.watts)}):"");
if(show){b.firstChild.style.width=Math.min(100,l.watts?own/l.watts*100:own?100:0)+"%";b.className=own>l.watts?"bar over":"bar"}
var body=list("phases",r.phases);
if(body)r.phases.forEach(function(p,i){var tr=add(body,"tr"),th=add(tr,"th","L"+(i+1));th.scope="row";add(tr,"td",watts(p.power));add(tr,"td",volts(p.voltage));add(tr,"td",amps(p.current))});
}
function setpoint(d,t){
var p=d.setpoint;if(!p)return DASH;
if(p.kind==="sg_ready")return t.sg[p.value];
var f=p.kind==="current"?amps:watts,v=p.value,a=d.asked;
if(!v&&d.kind==="ev")return t.off;
if(v<0)return t.gives+" "+f(-v);
return (p.kind==="production"?t.most:"")+f(v)+(a>0&&a!==v?t.of+f(a):"");
}
function measured(d,t){
var m=d.measured,c=m.current.filter(function(x){return x!==null});
if(m.power!==null)return (m.power<0?t.gives:t.now)+" "+watts(Math.abs(m.power));
return c.length?t.now+" "+amps(Math.max.apply(null,c)):"";
}
function devices(s,t){
var ul=list("devices",s.devices);
if(!ul)return;
if(!s.devices.length)add(ul,"li",t.nil,"soft");
s.devices.forEach(function(d){
var li=add(ul,"li"),row=add(li,"div",undefined,"row"),name=add(row,"span"),state=add(row,"strong",setpoint(d,t));
add(name,"b",t.k[d.kind]||d.kind);add(name,"span"," "+d.id,"soft");state.title=d.words;
var row2=add(li,"div",undefined,"row soft"),why=(t.r[d.reason]||d.words)+(d.limit&&t.y[d.limit]?", "+t.y[d.limit]:"");
add(row2,"span",why);add(row2,"span",measured(d,t));
if(!d.online)add(li,"span",t.offline,"tag");
if(d.fault)add(li,"span",t.fault+": "+d.fault,"tag");
});
}
function links(s,t){
var m=s.link.mqtt,now=s.clock.time===null?t.noclock:clock(s.clock.time),dl=list("link",[s.link.operator,m&&[m.state,m.reason],s.limits.state,s.reading.freshness,s.reading.source,now]);
if(!dl)return;
function one(name,value){add(dl,"dt",name);add(dl,"dd",value)}
one(t.op,s.link.operator?t.s[s.limits.state]||s.limits.state:t.no);
one(t.mq,!m?t.no:m.state==="up"?t.up:t.down+" ("+m.reason+")");
one(t.me,(t.f[s.reading.freshness]||"")+(s.reading.source?" ("+s.reading.source.toUpperCase()+")":""));
one(t.clock,now);
}
function events(s,t){
var ul=list("events",s.events);
if(!ul)return;
if(!s.events.length)add(ul,"li",t.nil,"soft");
s.events.slice().reverse().forEach(function(e){var li=add(ul,"li");if(e.time!==null)add(li,"span",clock(e.time)+"  ","soft");var w=add(li,"span",e.words);w.lang="en"});
}
function draw(){
var t=T[lang];document.documentElement.lang=lang;
["power","phase","watts","volts","amps","devices","link","events"].forEach(function(k){put($("t_"+k),t[k])});
["nl","en"].forEach(function(k){$(k).setAttribute("aria-pressed",String(k===lang))});
$("main").className=failed||!last?"silent":"";
if(failed||!last){
$("say").className="say wide "+(failed?"bad":"");
say("say1",!failed?t.ask:heard?fill(t.gone,{c:new Date(heard).toLocaleTimeString(lang)}):t.never);say("say2","");say("say3","");
put($("net"),DASH);put($("direction"),"");say("room","");$("bar").hidden=true;
["phases","devices","link","events"].forEach(function(k){list(k,0)});
return;
}
put($("serial"),last.serial);
limits(last,t);power(last,t);devices(last,t);links(last,t);events(last,t);
}
function poll(){
var stop=new AbortController(),late=setTimeout(function(){stop.abort()},3000);
fetch("/api/status",{signal:stop.signal,cache:"no-store"}).then(function(r){if(!r.ok)throw new Error(r.status);return r.json()}).then(function(s){last=s;heard=Date.now()},function(){}).then(function(){
clearTimeout(late);
failed=Date.now()-heard>3000;
try{draw()}catch(e){last=null;failed=true;draw()}
setTimeout(poll,1000);
});
}
["nl","en"].forEach(function(k){$(k).onclick=function(){lang=k;try{localStorage.setItem("lang",k)}catch(e){}draw()}});
draw();poll();
`;
