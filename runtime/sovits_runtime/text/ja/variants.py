"""Old and rare forms of kanji that Open JTalk's dictionary lacks, and the forms of them that it has."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_LACKING: Final = (
    "壓醫壹隱營應歐毆溫穩假壞懷槪擴殼渴寬歡陷顏旣歸僞戲犧據擧虛峽挾敎鄕驅薰徑揭繼莖鷄擊缺儉圈檢獻硏險效鑛"
    "號濟碎劑慘蠶贊殘齒兒濕舍寫從獸縱肅處緖敍將稱燒狀乘剩壤孃釀囑愼盡醉隨髓樞瀨聲攝竊專潛纖踐禪雙搜插爭裝"
    "騷增臟屬續墮帶滯臺擇擔膽彈斷遲鑄聽敕鎭轉盜當德獨讀屆惱霸拜廢發髮拔蠻祕彥姬甁拂邊步寶襃飜每默藥譯餘譽"
    "搖樣謠來賴覽兩獵壘勵隸靈爐勞錄灣圀濤埜髙﨑濵栁槗桒內淸靑吳吿戶黃產說脫稅鍊剝𠮟𠮷㐂驒搔攪倂卽徵摑簞繫"
    "腁"
)
_USUAL: Final = (
    "圧医壱隠営応欧殴温穏仮壊懐概拡殻渇寛歓陥顔既帰偽戯犠拠挙虚峡挟教郷駆薫径掲継茎鶏撃欠倹圏検献研険効鉱"
    "号済砕剤惨蚕賛残歯児湿舎写従獣縦粛処緒叙将称焼状乗剰壌嬢醸嘱慎尽酔随髄枢瀬声摂窃専潜繊践禅双捜挿争装"
    "騒増臓属続堕帯滞台択担胆弾断遅鋳聴勅鎮転盗当徳独読届悩覇拝廃発髪抜蛮秘彦姫瓶払辺歩宝褒翻毎黙薬訳余誉"
    "揺様謡来頼覧両猟塁励隷霊炉労録湾国涛野高崎浜柳橋桑内清青呉告戸黄産説脱税錬剥叱吉喜騨掻撹併即徴掴箪繋"
    "胼"
)
USUAL_FORMS: Final[Mapping[str, str]] = MappingProxyType(dict(zip(_LACKING, _USUAL, strict=True)))
